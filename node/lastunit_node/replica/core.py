"""A replica without threads and sockets of its own making: journal, state machine and Raft, joined, turn by turn.

Startup holds the state against the journal (docs/raft-rules.md, rule 4): the state must lie within the journal and
agree with it on the term of its applied index; what follows is replayed. Anything else is a refusal to start that says
why.
"""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from pysyncobj.config import FAIL_REASON
from pysyncobj.poller import Poller

from lastunit_node import sqlite
from lastunit_node.replica import timing
from lastunit_node.replica.admission import admission_entry
from lastunit_node.replica.checkpoints import Checkpoints, CheckpointsInTurn
from lastunit_node.replica.compaction import Compactor
from lastunit_node.replica.interface import Facts, FailureReason, Role
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.raft import Raft
from lastunit_node.replica.state_commits import NEVER, StateCommits
from lastunit_node.replica.syncobj import CANDIDATE, FOLLOWER, LEADER, Callback, Peer
from lastunit_node.replica.ticker import Ticker
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, Tick
from lastunit_node.statemachine.limits import MAX_ENTRY_BYTES
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Applied, StateHash
from lastunit_node.statemachine.tables import AdmittedRow

HASH_HISTORY: Final = 4_096  # applied indexes whose hashes can be asked for
REQUEST_ID_BITS: Final = 32  # forwarded proposals per boot; the boot's number stands above them

REASONS: Final[dict[int, FailureReason]] = {
    FAIL_REASON.QUEUE_FULL: FailureReason.QUEUE_FULL,
    FAIL_REASON.MISSING_LEADER: FailureReason.NO_LEADER,
    FAIL_REASON.DISCARDED: FailureReason.DISCARDED,
    FAIL_REASON.NOT_LEADER: FailureReason.NOT_LEADER,
    FAIL_REASON.LEADER_CHANGED: FailureReason.LEADER_CHANGED,
    FAIL_REASON.UNKNOWN_OUTCOME: FailureReason.UNKNOWN,
}
_ADVICE: Final = "`lastunit-node rejoin` puts the data aside and lets the node catch up from the others"
_ROLES: Final = {FOLLOWER: Role.FOLLOWER, CANDIDATE: Role.CANDIDATE, LEADER: Role.LEADER}


class StartRefused(Exception):
    """The node must not start like this; the message says why and what to do."""


def check_state_against_journal(applied_index: int, applied_term: int, journal: SqliteJournal) -> None:
    """Raise StartRefused unless the journal continues the state."""
    first, last = journal.first_index, journal.last_index
    if applied_index > last:
        raise StartRefused(
            f"the state has applied index {applied_index} but the journal ends at {last}: journal entries were lost, "
            f"and with them perhaps a vote. {_ADVICE}"
        )
    if applied_index < first:
        raise StartRefused(
            f"the state has applied index {applied_index} but the journal starts at {first}: the state is an older "
            f"copy, or lost what was committed to it. {_ADVICE}"
        )
    if journal.term_at(applied_index) != applied_term:
        raise StartRefused(
            f"state and journal disagree at index {applied_index}: term {applied_term} against "
            f"{journal.term_at(applied_index)}; the two files do not belong together. {_ADVICE}"
        )


def nobody_waits(_applied: Applied | None, _reason: int) -> None:
    """The callback of a leader's own proposals: without one, PySyncObj forwards them in another shape."""


class Link(Protocol):
    """PySyncObj's Transport, and what we ask of it beyond."""

    def start(self, poller: Poller) -> None:
        """Accept and dial from now on, whenever the poller polls."""
        ...

    def on_tick(self) -> None:
        """Once a turn: make connections, close what is overdue."""
        ...


class RecordingMachine:
    """The state machine, and the hashes of the last applied indexes for comparison between nodes."""

    def __init__(self, machine: StateMachine) -> None:
        self.machine = machine
        self.hashes: dict[int, StateHash] = {machine.applied_index: machine.state_hash()}

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        """Apply and remember the hash."""
        applied = self.machine.apply(index, term, entry)
        self.hashes[index] = self.machine.state_hash()
        self.hashes.pop(index - HASH_HISTORY, None)
        return applied

    def hash_at(self, index: int) -> StateHash | None:
        """Hashes at a recent applied index. Any thread."""
        return self.hashes.get(index)

    def admitted(self, node: str) -> AdmittedRow | None:
        """The disk of a node that counts."""
        return self.machine.admitted(node)


class ReplicaCore:
    """One node. Any thread: propose, wake, want, hash_at; the rest from the thread that calls turn()."""

    def __init__(
        self,
        node: str,
        peers: Collection[str],
        *,
        link: Link,
        journal: SqliteJournal,
        state: sqlite.Connection,
        configure: Configure,
        checkpoints: Callable[[StateMachine], Checkpoints] = CheckpointsInTurn,
    ) -> None:
        """Join journal and state. Raises StartRefused."""
        self._nodes = {name: Peer(name) for name in (node, *peers)}
        self._machine = StateMachine(state)
        self._recording = RecordingMachine(self._machine)
        self._configure = configure
        self._configured_at = float("-inf")
        self._ticker = Ticker()
        self._checkpoints = checkpoints(self._machine)
        self._compactor = Compactor(journal, self._machine, self._checkpoints)
        self._state_commits = StateCommits(self._machine)
        self._before_poll: Callable[[], None] = lambda: None
        check_state_against_journal(self._machine.applied_index, self._machine.applied_term, journal)
        self._raft = Raft(
            self._nodes[node],
            [self._nodes[peer] for peer in peers],
            journal,
            self._recording,
            applied_index=self._machine.applied_index,
            first_request_id=journal.boot << REQUEST_ID_BITS,
            transport=link,
        )
        link.start(self._raft.poller)
        self._raft.addOnTickCallback(link.on_tick)
        self._raft.addOnTickCallback(self._state_commits.when_wanted)
        self._raft.addOnTickCallback(self._call_back)
        self._raft.addOnTickCallback(self._commit_when_due)

    def before_each_poll(self, callback: Callable[[], None]) -> None:
        """Call back in every turn when its results were handed out, before it waits for messages."""
        self._before_poll = callback

    def _commit_when_due(self) -> None:
        self._state_commits.when_due(self._raft.now(), busy=self._raft.awaits_acknowledgements)

    def _call_back(self) -> None:
        self._before_poll()

    def turn(self, timeout: float = timing.POLL) -> None:
        """One turn of Raft, after a leader's own proposals: admissions, parameters, empty entries to sweep, ticks.

        None of them is proposed while leadership is handed over: a queue full of them stood before every order.
        """
        if self._raft.leads and self._raft.may_take_proposals():
            self._propose_as_leader()
        self._raft.turn(timeout)
        self._checkpoints.step()
        self._compactor.step(self._raft.now(), self._raft.known_match_indexes())

    def _propose_as_leader(self) -> None:
        machine, now = self._machine, self._raft.now()
        for admit in self._raft.admissions_due():
            self._raft.propose(admission_entry(admit), nobody_waits)
        if machine.parameters is None:
            if now - self._configured_at >= timing.CONFIGURE_RETRY:
                self._configured_at = now
                self._raft.propose(encode_entry(Entry(0, 0, (self._configure,))), nobody_waits)
        elif machine.needs_ticks:
            if machine.left_due_holds and self._raft.last_applied == self._raft.journal.last_index:
                self._raft.propose(encode_entry(Entry(0, machine.clock, ())), nobody_waits)  # it sweeps, as every entry
            interval = machine.parameters.tick_ms / 1000
            if self._ticker.is_due(now, machine.clock, self._raft.term, interval):
                self._raft.propose(encode_entry(Entry(0, machine.clock, (Tick(machine.clock),))), nobody_waits)

    def propose(self, entry: bytes, callback: Callback) -> None:
        """Queue an entry. The callback gets (Applied, 0) or (None, reason) at the end of a turn, once. Any thread."""
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry of {len(entry)} bytes is over the bound of {MAX_ENTRY_BYTES}")
        self._raft.propose(entry, callback)

    def wake(self) -> None:
        """Make the turn under way end soon. Any thread."""
        self._raft.wake()

    def want(self, index: int) -> None:
        """Reads wait for this index and none below; NEVER when none waits. Any thread."""
        self._state_commits.want(index)
        if index != NEVER:
            self._raft.wake()

    def hash_at(self, index: int) -> StateHash | None:
        """Hashes at a recent applied index. Any thread."""
        return self._recording.hash_at(index)

    def hold_log(self, index: int, seconds: float) -> None:
        """Keep the log after index for so long."""
        self._compactor.hold(index, self._raft.now() + seconds)

    def begin_transfer(self, target: str | None) -> str | None:
        """Start handing leadership over; the target's name, or None when it cannot be done from here."""
        if target is not None and target not in self._nodes:
            return None
        chosen = self._raft.begin_transfer(None if target is None else self._nodes[target])
        return chosen.id if chosen else None

    @property
    def readable_index(self) -> int:
        """Index up to which the state is committed, so that reads see it."""
        return self._machine.committed_index

    def facts(self) -> Facts:
        """How the node stands after the last turn: what Status is made of, when somebody asks for one."""
        raft, machine, leader = self._raft, self._machine, self._raft.leader
        return (
            _ROLES[raft.role],
            leader.id if leader else None,
            raft.term,
            raft.journal.last_index,
            raft.commit_index,
            machine.committed_index,
            machine.clock,
            raft.has_quorum,
            raft.is_behind,
            raft.is_admitted,
            machine.parameters,
        )

    def close(self) -> None:
        """Commit the state, sync the journal, close sockets and files."""
        self._machine.commit()
        self._checkpoints.close()
        self._raft.close()
