"""Raft for one node: PySyncObj's core with its edges replaced, driven turn by turn.

One turn, in this order (docs/raft-rules.md, rule 5): election; commit (the leader counts itself); journal synced up to
the commit index; apply; take proposals, add, send; then this module's end of turn: journal synced, results handed over;
poll; and last, one sync for every append received, and their acknowledgements. The poll goes on, for the rest of its
time, when all it brought is the last acknowledgement of what is committed and applied already.

Anything that escapes a turn must end the process: a failed sync, a broken invariant, damage.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import structlog
from pysyncobj.config import FAIL_REASON, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from lastunit_node.replica import timing
from lastunit_node.replica.admission import Admission
from lastunit_node.replica.comparison import Comparison
from lastunit_node.replica.elections import Elections
from lastunit_node.replica.entry_cache import LogEntry
from lastunit_node.replica.follower import Follower
from lastunit_node.replica.forwarding import Forwarding
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.leader import Leader
from lastunit_node.replica.messages import COUNTED, MalformedMessage, Message, check_leap, check_message
from lastunit_node.replica.peers import Peers
from lastunit_node.replica.syncobj import LEADER, Callback, RaftHooks
from lastunit_node.replica.transfer import Transfer
from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.results import Applied, StateHash
from lastunit_node.statemachine.tables import AdmittedRow

_log = structlog.get_logger()

MAX_QUEUED_PROPOSALS: Final = 256  # own and forwarded; one more is refused QUEUE_FULL
_APPLY_CHUNK: Final = 64  # entries read from the journal at a time


class Machine(Protocol):
    """What Raft needs of a state machine."""

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        """Apply the next entry."""
        ...

    def hash_at(self, index: int) -> StateHash | None:
        """Hashes of the state at a recent applied index."""
        ...

    def admitted(self, node: str) -> AdmittedRow | None:
        """The disk of a node that counts, as far as the log is applied."""
        ...


def configuration() -> SyncObjConf:
    """PySyncObj's settings: our tick loop, no batching delay, no files and no port of its own."""
    return SyncObjConf(
        autoTick=False,
        appendEntriesUseBatch=False,
        appendEntriesPeriod=timing.HEARTBEAT,
        raftMinTimeout=timing.ELECTION_MIN,
        raftMaxTimeout=timing.ELECTION_MAX,
        leaderFallbackTimeout=timing.STEP_DOWN,
        commandsWaitLeader=False,
        commandsQueueSize=MAX_QUEUED_PROPOSALS,
        dynamicMembershipChange=False,
    )


class Raft(RaftHooks):
    """One node's Raft. Not thread-safe but for propose() and wake()."""

    def __init__(
        self,
        self_node: Node,
        peers: list[Node],
        journal: SqliteJournal,
        machine: Machine,
        *,
        applied_index: int,
        first_request_id: int,
        transport: Transport,
    ) -> None:
        """Begin at the state's applied index."""
        self._machine = machine
        self._admission = Admission(self, self_node.id, machine.admitted)
        self._follower = Follower(self)
        self._leader = Leader(self, self._admission)
        self._peers = Peers(self, self_node.id, self._admission, self._leader, self._follower)
        self._elections = Elections(self, self_node.id, self._follower, self._admission)
        self._forwarding = Forwarding(self)
        self._transfer = Transfer(self, self._leader, self._peers)
        members = 1 + len(peers)
        self._comparison = Comparison(self, machine.hash_at, self_node.id, members, admission=self._admission)
        self._handlers = self._message_handlers()
        self._outcomes: list[tuple[Callback, Applied | None, int]] = []
        self._heard_last = False  # in this turn, an acknowledgement that calls for no other
        self._heard_more = False  # in this turn, something that may
        conf, stamp = configuration(), self._admission.stamp
        super().__init__(self_node, peers, conf, journal=journal, transport=transport, stamp=stamp)
        self.restart_at(applied_index, first_request_id)
        if journal.getCurrentTerm() < self.term:  # a copy of a state brought its term, and no vote in it
            self.set_term(self.term, None)
        self._admission.start()
        self.postpone_election()
        self.addOnTickCallback(self._end_turn)

    def turn(self, timeout: float) -> None:
        """One turn; waits at most timeout seconds for messages, not at all while entries wait to be applied."""
        self._elections.step()
        self._peers.warn_when_stuck()
        deadline, wakes = self.now() + timeout, self.waker.wakes
        self._heard_last = self._heard_more = False
        self.doTick(0.0 if self.last_applied < self.commit_index else timeout)
        while self._heard_last and not self._heard_more and self.waker.wakes == wakes:
            self._heard_last = False
            self.poller.poll(max(0.0, deadline - self.now()))
        self._follower.flush()

    def begin_transfer(self, target: Node | None) -> Node | None:
        """Start handing leadership over; the target, or None when it cannot be done from here."""
        return self._transfer.begin(target)

    @property
    def has_quorum(self) -> bool:
        """Whether this node leads, for which a majority must have answered of late, or has heard a leader of late."""
        return self.role == LEADER or (self.leader is not None and self._follower.heard_within(timing.STEP_DOWN))

    @property
    def is_behind(self) -> bool:
        """Whether the leader's log starts after this node's ends."""
        return self.role != LEADER and self._follower.is_behind

    @property
    def is_admitted(self) -> bool:
        """Whether this node's disk is one that votes and counts."""
        return self._admission.is_admitted

    def admissions_due(self) -> Iterator[Admit]:
        """Disks that this leader is to admit now."""
        return self._peers.to_admit()

    def known_match_indexes(self) -> list[int]:
        """What this leader knows its followers to hold; nothing on a follower."""
        return self._leader.match_indexes() if self.role == LEADER else []

    @property
    def awaits_acknowledgements(self) -> bool:
        """Whether this node leads, and some of its log is not committed yet."""
        return self.role == LEADER and self.commit_index < self.journal.last_index

    @property
    def leads(self) -> bool:
        """Whether this node leads and has applied its own no-op, so that it knows all that is committed."""
        return self.role == LEADER and self.last_applied >= self.no_op_index

    # Hooks.

    def on_message(self, node: Node, message: object) -> None:
        """Dispatch; a peer that sends nonsense is cut off."""
        try:
            checked = check_message(message)
            check_leap(checked, self.term)
            if checked["type"] not in COUNTED or self._peers.heard(node, checked):
                self._handlers[checked["type"]](node, checked)
            self._note_heard(node, checked)
        except MalformedMessage as problem:
            self.disconnect(node, str(problem))

    def _note_heard(self, node: Node, message: Message) -> None:
        """Whether it calls for another turn: the last acknowledgement of what was committed without it does not."""
        if message["type"] == "append_response" and self._leader.is_done_with(node) and not self._transfer.under_way:
            self._heard_last = True
        else:
            self._heard_more = True

    def _message_handlers(self) -> dict[str, Callable[[Node, Message], None]]:
        compare = self._comparison.on_message
        return {
            "append": self._follower.on_append,
            "append_response": self._leader.on_append_response,
            "request_vote": self._elections.on_request_vote,
            "response_vote": self._elections.on_response_vote,
            "pre_vote": self._elections.on_pre_vote,
            "pre_vote_response": self._elections.on_pre_vote_response,
            "timeout_now": self._elections.on_timeout_now,
            "apply_command": self._forwarding.on_apply_command,
            "apply_command_response": self._forwarding.on_apply_command_response,
            "hash_request": compare,
            "hash_report": compare,
            "diverged": compare,
        }

    def on_connection_lost(self, node: Node) -> None:
        """What was under way on that connection has an unknown outcome; nothing more goes to a leader out of reach."""
        self._heard_more = True
        self._peers.on_connection_lost(node)
        self._leader.on_connection_lost(node)
        if node == self.leader:
            self.become_follower(None)
            self._elections.on_leader_lost()

    def postpone_election(self) -> None:
        """Wait a full timeout before asking for votes."""
        self._elections.postpone()

    def on_elected(self) -> None:
        """Begin to lead."""
        _log.info("elected leader", term=self.term, no_op_index=self.no_op_index)
        self.postpone_election()  # it may have been about to stand once more, and would when it steps down
        self._leader.on_elected()

    def may_take_proposals(self) -> bool:
        """Not while leadership is being handed over."""
        return not self._transfer.under_way

    def send_appends(self) -> None:
        """Replicate what was added, and the news of what is committed."""
        for node in self._forwarding.take_waiting():
            self._leader.forwarded(node)
        self._leader.send_appends()

    def apply_committed(self) -> None:
        """Apply what is committed, for a bounded time; the rest in the next turn."""
        if self.last_applied >= self.commit_index:
            return
        self.journal.setRaftCommitIndex(self.commit_index)
        if self.role == LEADER:
            self._leader.tell_those_who_wait()
        deadline = self.now() + timing.APPLY_PER_TURN
        while self.last_applied < self.commit_index and self.now() <= deadline:
            for entry in self._next_committed():
                self._apply(*entry)
                if self.role != LEADER:
                    os.sched_yield()  # nobody waits for this; the leader may be on this processor
                if self.now() > deadline:
                    break
        self._admission.learn()

    def _next_committed(self) -> list[LogEntry]:
        first = self.last_applied + 1
        return self.journal.entries(first, min(self.commit_index + 1, first + _APPLY_CHUNK))

    def _apply(self, data: bytes, index: int, term: int) -> None:
        applied = self._machine.apply(index, term, data)
        self.set_last_applied(index)
        for expected_term, callback in self.take_waiting(index):
            if expected_term == term:
                self._outcomes.append((callback, applied, FAIL_REASON.SUCCESS))
            else:
                self._outcomes.append((callback, None, FAIL_REASON.DISCARDED))

    def _end_turn(self) -> None:
        self._transfer.step()
        self.journal.sync()
        outcomes, self._outcomes = self._outcomes, []
        for callback, applied, reason in outcomes:
            callback(applied, reason)
        self._comparison.step()
