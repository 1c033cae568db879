"""The one module that knows PySyncObj's private names: its core under names of ours, its hooks as methods to override.

PySyncObj 0.3.17 keeps: the election timer, the commit rule (a majority of match indexes, own term only), the leader's
step-down, the queue of proposals and the order of one turn (`doTick`): election, commit, journal.setRaftCommitIndex,
apply, add and send, tick callbacks, poll. Everything else is replaced through the hooks below, because the stock
version loses or repeats entries (see ARCHITECTURE.md). A test fails when one of the private names changes.
"""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Final

from pysyncobj import syncobj as pysyncobj_module
from pysyncobj.config import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.poller import Poller
from pysyncobj.syncobj import SyncObj
from pysyncobj.transport import Transport

from lastunit_node.replica.clock import monotonic
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.waker import Waker

FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2

Callback = Callable[[Any, int], None]
Message = dict[str, Any]


class Peer(str, Node):  # type: ignore[misc]  # noqa: SLOT000  # pysyncobj has no types, and no slots
    """A Node that is found in a dictionary without a call of Python code: one is looked up thirty times an order."""

    __hash__ = str.__hash__
    id = property(attrgetter("_id"))


def _reads(name: str) -> Any:
    """A private attribute under a name of ours, read without a call of Python code: it happens 250 times an order."""
    return property(attrgetter(name))


class _Stamping:
    """A transport by which every message is stamped, those that PySyncObj's core sends too."""

    ready = True  # ours is from the start; PySyncObj asks several times a turn

    def __init__(self, transport: Transport, stamp: Callable[[Message], Message]) -> None:
        self._transport = transport
        self._send = transport.send
        self._stamp = stamp

    def send(self, node: Node, message: Message) -> bool:
        """Stamp and send."""
        return bool(self._send(node, self._stamp(message)))

    def setOnReadonlyNodeConnectedCallback(self, _callback: object) -> None:  # noqa: N802
        """There are no read-only peers."""

    def setOnReadonlyNodeDisconnectedCallback(self, _callback: object) -> None:  # noqa: N802
        """There are no read-only peers."""

    def setOnUtilityMessageCallback(self, _message: str, _callback: object) -> None:  # noqa: N802
        """There are no admin verbs."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@contextmanager
def _parts_in_place(journal: SqliteJournal) -> Iterator[None]:
    """PySyncObj takes neither journal nor notifier as a parameter: what makes them is replaced meanwhile."""
    module = pysyncobj_module
    original = module.createJournal, module.PipeNotifier
    module.createJournal, module.PipeNotifier = (lambda _path: journal), Waker
    try:
        yield
    finally:
        module.createJournal, module.PipeNotifier = original


class RaftHooks(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """PySyncObj with its private state readable and its private steps overridable, in words of ours."""

    now = staticmethod(monotonic)

    def __init__(
        self,
        self_node: Node,
        other_nodes: list[Node],
        conf: SyncObjConf,
        *,
        journal: SqliteJournal,
        transport: Transport,
        stamp: Callable[[Message], Message],
    ) -> None:
        self.journal = journal
        transport = _Stamping(transport, stamp)
        with _parts_in_place(journal):
            super().__init__(self_node, other_nodes, conf, transport=transport)
        self.peers = sorted(other_nodes, key=lambda node: str(node.id))  # membership is fixed
        self.majority = (len(self.peers) + 1) // 2 + 1
        self.send = transport.send
        self.waker: Waker = self._SyncObj__pipeNotifier
        self._SyncObj__noopIDx = 0

    # Hooks: called by PySyncObj, implemented by raft.py.

    def on_message(self, node: Node, message: object) -> None:
        """A peer sent this."""
        raise NotImplementedError

    def on_connection_lost(self, node: Node) -> None:
        """The connection to a peer broke."""
        raise NotImplementedError

    def postpone_election(self) -> None:
        """A leader was heard or a vote was given: wait a full timeout before standing."""
        raise NotImplementedError

    def on_elected(self) -> None:
        """This node has just become leader and added its no-op."""
        raise NotImplementedError

    def apply_committed(self) -> None:
        """Apply entries between last_applied and commit_index."""
        raise NotImplementedError

    def send_appends(self) -> None:
        """The leader's one place in a turn to send, after this turn's proposals were added."""
        raise NotImplementedError

    def may_take_proposals(self) -> bool:
        """Whether queued proposals may be taken in this turn."""
        raise NotImplementedError

    def _SyncObj__onMessageReceived(self, node: Node, message: object) -> None:  # noqa: N802
        self.on_message(node, message)

    def _SyncObj__onNodeDisconnected(self, node: Node) -> None:  # noqa: N802
        super()._SyncObj__onNodeDisconnected(node)
        self.on_connection_lost(node)

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        super()._SyncObj__onBecomeLeader()
        self.on_elected()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        self.apply_committed()
        return False

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        """Stock sends from four places of a turn; ours sends from one, below."""

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        if self._SyncObj__commandsQueue._FastQueue__queue and self.may_take_proposals():  # noqa: SLF001
            super()._checkCommandsToApply()
        if self.role == LEADER:
            self.send_appends()

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802
        """No dump file, ever (docs/raft-rules.md, rule 4)."""

    # State.

    role: int = _reads("_SyncObj__raftState")  # FOLLOWER, CANDIDATE or LEADER
    term: int = _reads("_SyncObj__raftCurrentTerm")
    voted_for: str | None = _reads("_SyncObj__votedForNodeId")  # in this term
    leader: Node | None = _reads("_SyncObj__raftLeader")  # that this node knows
    commit_index: int = _reads("_SyncObj__raftCommitIndex")  # last index known to be committed
    last_applied: int = _reads("_SyncObj__raftLastApplied")  # last index given to the state machine
    no_op_index: int = _reads("_SyncObj__noopIDx")  # of the no-op this node added when it was last elected; 0: never
    election_deadline: float = _reads("_SyncObj__raftElectionDeadline")  # of PySyncObj's timer; inf: stopped
    told_to_stand: bool = _reads("_SyncObj__transferInProgress")  # a transfer to this node is under way
    connected: Collection[Node] = _reads("_SyncObj__connectedNodes")  # peers to which a connection stands
    poller: Poller = _reads("_poller")  # what a turn polls in the end

    # Steps.

    def restart_at(self, applied_index: int, first_request_id: int) -> None:
        """Begin where the state is; nothing beyond it is known to be committed (rule 4, Restart)."""
        self._SyncObj__raftLastApplied = applied_index
        self._SyncObj__raftCommitIndex = applied_index
        self._SyncObj__commandsLocalCounter = first_request_id

    def set_term(self, term: int, vote: str | None) -> None:
        """Adopt a term and a vote in it; durable when this returns."""
        self._SyncObj__setCurrentTerm(term, vote)

    def become_follower(self, leader: Node | None) -> None:
        """Follow this leader, or none that is known."""
        if leader != self.leader:
            self.fail_forwarded()
        self._SyncObj__raftLeader: Node | None = leader
        self._SyncObj__setState(FOLLOWER)

    def random_timeout(self) -> float:
        """A random election timeout, in seconds."""
        timeout: float = self._SyncObj__generateRaftTimeout()
        return timeout

    def take_election_deadline(self) -> float:
        """Stop PySyncObj's own election timer; the time it was set to, inf when it was stopped already."""
        deadline = self.election_deadline
        self._SyncObj__raftElectionDeadline: float = math.inf
        return deadline

    def stand(self) -> None:
        """Stand for election in the next turn."""
        self._SyncObj__raftElectionDeadline = 0

    def stand_for_transfer(self) -> None:
        """Stand for election in the next turn, whatever the present leader sends meanwhile."""
        self.stand()
        self._SyncObj__transferInProgress = True

    def forget_transfer(self) -> None:
        """A newer leader supersedes the transfer."""
        self._SyncObj__transferInProgress = False

    def count_votes(self, votes: int) -> None:
        """So many nodes, this one included, voted for this node in this term."""
        self._SyncObj__votesCount = votes
        if votes >= self.majority:
            self._SyncObj__onBecomeLeader()

    def set_commit_index(self, index: int) -> None:
        """Learn from the leader that everything up to index is committed."""
        self._SyncObj__raftCommitIndex = index

    def set_last_applied(self, index: int) -> None:
        """Everything up to index was given to the state machine."""
        self._SyncObj__raftLastApplied = index

    def set_match_index(self, node: Node, index: int) -> None:
        """The peer holds everything up to index; the commit rule counts it."""
        self._SyncObj__raftMatchIndex[node] = index

    def heard_from(self, node: Node) -> None:
        """The peer answered this leader in its term."""
        self._SyncObj__lastResponseTime[node] = self.now()

    def disconnect(self, node: Node, reason: str) -> None:
        """Cut a peer off that sent what no node of ours sends; it may connect again."""
        self._SyncObj__transport.disconnect(node, reason)

    # Proposals.

    def propose(self, entry: bytes, callback: Callback | tuple[Node, int] | None) -> None:
        """Queue an entry; the callback gets (result, PySyncObj's FAIL_REASON), once. Any thread."""
        self._applyCommand(entry, callback)

    def wake(self) -> None:
        """Make the poll under way return. Any thread."""
        self.waker.notify()

    def take_waiting(self, index: int) -> list[tuple[int, Callback]]:
        """Remove and return the callbacks (with the term they expect) that wait for this index."""
        waiting: list[tuple[int, Callback]] = self._SyncObj__commandsWaitingCommit.pop(index, [])
        return waiting

    def wait_for(self, index: int, term: int, callback: Callback) -> None:
        """Call back when index is applied."""
        self._SyncObj__commandsWaitingCommit[index].append((term, callback))

    def take_forwarded(self, request_id: int) -> Callback | None:
        """Remove and return the callback of a forwarded proposal."""
        callback: Callback | None = self._SyncObj__commandsWaitingReply.pop(request_id, None)
        return callback

    def fail_forwarded(self) -> None:
        """Answer every forwarded proposal that has no log position yet: LEADER_CHANGED."""
        self._SyncObj__onLeaderChanged()

    def close(self) -> None:
        """Close sockets and journal."""
        self._doDestroy()
