"""One node through all its lives: the real ReplicaCore, turn by turn, until it is killed, and then again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from unit.statemachine.shop import audit

from lastunit_node import sqlite
from lastunit_node.catchup import ArrivedCopy
from lastunit_node.damage import DAMAGE, explain, has_disk_failed
from lastunit_node.datadir import DirectoryRefused
from lastunit_node.replica import timing
from lastunit_node.replica.core import ReplicaCore
from lastunit_node.replica.syncobj import LEADER
from simulation.clock import Clock, NodeClock
from simulation.copies import CatchUp
from simulation.disk import CrashableJournal, Disk
from simulation.frontend import Barrier, Call, FrontEnd
from simulation.mishaps import COPY, MESSAGE, WRITE, Crash, Mishaps
from simulation.network import Network, SimulatedLink
from simulation.oracle import Oracle, Violation
from simulation.profile import Profile
from simulation.raft_checks import RaftChecks
from simulation.reads import Wait, WaitingReads
from simulation.trace import Trace
from simulation.watched import WatchedMachine

IDLE = (0.05, 0.25)  # seconds until a follower's next turn when nothing arrives: a lazier poll than the real one
HEARTBEATS = (1.1, 1.4)  # a leader's, in heartbeats
SCAN_EVERY = 400  # turns of one node between two scans of all its rows


@dataclass
class Surroundings:
    """What all nodes of a seed share."""

    clock: Clock
    rng: Random
    profile: Profile
    network: Network
    oracle: Oracle
    checks: RaftChecks
    trace: Trace
    counts: Counter[str]  # what happened, by kind
    nodes: "dict[str, SimulatedNode]" = field(default_factory=dict)


class SimulatedNode:
    """A disk, and now and then a process on it."""

    def __init__(self, name: str, peers: list[str], disk: Disk, world: Surroundings) -> None:
        self.name, self._peers, self.disk, self.world = name, peers, disk, world
        self.core: ReplicaCore | None = None
        self.paused = False
        self.on_death: Callable[[SimulatedNode, str, bool], None] = lambda _node, _kind, _power: None
        self.mishaps = Mishaps()
        self.boot = 0
        self.broken = False  # it has damaged files, and does not start any more
        self.wiped = False  # and not admitted since
        self.takes_turns = False  # with a disk that was put aside
        self.blank = True  # a founder that holds nothing yet votes for its like only, and is no help to others
        self.disk_is_bad = False  # for this boot
        self._turns = 0
        self._due: float | None = None  # the next turn

    @property
    def is_leader(self) -> bool:
        """Elected; what it may serve comes when its no-op is committed."""
        return self.core is not None and self.core._raft.role == LEADER

    @property
    def leads(self) -> bool:
        return self.core is not None and self.core._raft.leads

    @property
    def has_lost_its_disk(self) -> bool:
        """Whether its files are damaged, or are new ones and do not count yet as far as it knows."""
        return self.wiped or self.blank or self.disk.damage is not None

    def wipe(self) -> None:
        self.disk.wipe()
        self.world.checks.wiped(self.name)
        self.broken, self.blank, self.wiped = False, False, True

    def put_old_disk_back(self) -> None:
        """In the place of the one that came after it, with all that this one has acknowledged."""
        self.disk.put_back()
        self.world.checks.wiped(self.name)
        self.broken, self.blank, self.wiped, self.takes_turns = False, True, True, True

    @property
    def has_superseded_disk(self) -> bool:
        """Whether a disk was put aside, and another one admitted since."""
        aside, newest = self.disk.instance_aside, self.world.oracle.admitted(self.name)
        return aside is not None and newest is not None and newest != aside

    def is_up(self, boot: int) -> bool:
        """Whether it still lives the life of this number."""
        return self.core is not None and self.boot == boot

    def start(self) -> None:
        assert self.core is None, self.name
        self.boot += 1
        self._due = None
        self.disk_is_bad = False
        self.mishaps.forget(copies_too=False)
        self._node_clock = NodeClock(self.world.rng)
        self.world.clock.read_as(self._node_clock)
        if self._is_refused():
            return
        journal = self.disk.journal
        self._link = SimulatedLink(self.name, self.world.network, self._wake)
        self.core = ReplicaCore(
            self.name,
            self._peers,
            link=self._link,
            journal=journal,
            state=self.disk.state,
            configure=self.world.profile.configure,
        )
        self._watch(self.core, journal)
        self.catch_up = CatchUp(self)
        self.world.network.attach(self._link)
        self._wake()

    def _is_refused(self) -> bool:
        """Open the files: damaged ones must be refused, others must not."""
        try:
            self.disk.open()
        except (*DAMAGE, DirectoryRefused) as refusal:
            if self.disk.damage is None:
                raise
            self.broken = True
            why = explain(refusal, self.disk.folder).replace(f"{self.disk.folder.parent}/", "")
            self.world.trace.say(f"{self.name} does not start: {why}")
        else:
            if self.disk.damage is not None:
                raise Violation(f"{self.name} starts on damaged files: {self.disk.damage}")
        return self.broken

    def _watch(self, core: ReplicaCore, journal: CrashableJournal) -> None:
        core._raft._machine = WatchedMachine(self, core._recording)
        core._machine.commit = partial(self._commit_state, core._machine.commit)  # type: ignore[method-assign]
        core._raft.waker.notify = lambda: None  # type: ignore[method-assign]  # nobody polls its pipe
        self.world.checks.born(self.name, core._raft)
        journal.on_write = partial(self.mishaps.step, WRITE)
        journal.on_trim = self._count_trim
        journal.on_add = partial(self.world.checks.entry_added, journal)
        self._link.before_send = partial(self._before_send, journal)
        acknowledged = partial(self.world.oracle.acknowledged, self.name)
        self._front_end = FrontEnd(core, self.world.clock, self.world.rng, self.world.profile.gather, acknowledged)
        self._reads = WaitingReads(core, self.world.rng)

    def _commit_state(self, commit: Callable[[], None]) -> None:
        self.mishaps.step(WRITE)
        commit()
        self.mishaps.step(WRITE)

    def _count_trim(self) -> None:
        self.world.counts["journal trimmed"] += 1

    def _before_send(self, journal: CrashableJournal, peer: str, message: dict[str, object]) -> None:
        self.mishaps.step(MESSAGE)
        self.world.checks.about_to_send(self.name, peer, message, journal)

    # Death.

    def guard(self, step: Callable[[], object]) -> bool:
        """Do something as this node, which may die of it. Whether it is still alive."""
        self.world.clock.read_as(self._node_clock)
        try:
            step()
        except Crash as crash:
            self.on_death(self, crash.kind, crash.power)
            return False
        except sqlite.Error as problem:
            if not self.disk_is_bad or not has_disk_failed(problem):
                raise
            self.on_death(self, explain(problem, self.disk.folder).partition(":")[0].partition(" in ")[0], False)
            return False
        return True

    def copy_step(self) -> None:
        """A catch-up gets on."""
        self.mishaps.step(COPY)

    def install(self, copy: ArrivedCopy) -> None:
        """As the real node: stop; one transaction; start again."""
        assert self.core is not None
        self._front_end.die()
        machine = self.core._machine
        self.core.close()
        if copy.info.applied_index > machine.applied_index:
            self.disk.install(copy.file, copy.info.applied_index, copy.info.applied_term, self.copy_step)
            self.world.counts["copy: installed"] += 1
            self.world.trace.say(f"{self.name} installed the copy at index {copy.info.applied_index}")
        self.crash(power=False)
        self.start()

    def crash(self, *, power: bool) -> int:
        """Die now. The number of the state's transactions that were lost."""
        assert self.core is not None, self.name
        self.core, self.paused = None, False
        self._front_end.die()
        self.world.network.silent.discard(self.name)
        self.world.network.detach(self.name, timing.CONNECTION_SILENCE if power else 0.01)
        return self.disk.crash(power=power)

    def transfer_leadership(self) -> None:
        """As its own thread would, by its own clock: the transfer's deadline is kept by that one."""
        assert self.core is not None, self.name
        self.world.clock.read_as(self._node_clock)
        self.core.begin_transfer(None)

    def pause(self) -> None:
        self.paused = True
        self.world.network.silent.add(self.name)

    def resume(self) -> None:
        self.paused = False
        self.world.network.silent.discard(self.name)
        self._wake()

    # Turns.

    def submit(self, call: Call | Barrier) -> bool:
        if self.core is None:
            return False
        self._front_end.submit(call)
        self._wake()
        return True

    def await_committed(self, wait: Wait) -> None:
        if self.core is not None:
            self._reads.put(wait)
            self._wake()

    def _wake(self) -> None:
        """Something arrived: the poll under way returns."""
        self._wake_at(self.world.clock.now + self.world.profile.turn)

    def _wake_at(self, time: float) -> None:
        if self._due is None or time < self._due:
            self._due = time
            boot = self.boot
            self.world.clock.at(time, lambda: self._wake_up(boot, time))

    def _wake_up(self, boot: int, time: float) -> None:
        if boot != self.boot or time != self._due:
            return
        self._due = None
        if self.core is not None and not self.paused:
            self._turn(self.core)

    def _turn(self, core: ReplicaCore) -> None:
        if self.guard(partial(self._take_turn, core)):
            self._wake_at(self.world.clock.now + self._rest(core))

    def _take_turn(self, core: ReplicaCore) -> None:
        """The poll in which the turn before ended, and the next one, which finds nothing more to poll."""
        if self._link.inbox:
            self._link.deliver()
            core._raft._follower.flush()
        self._front_end.step()
        core.turn(0.0)
        self._check(core)
        self.catch_up.step()
        self.wiped = self.wiped and not self._counts(core)
        self.takes_turns = self.takes_turns and self.wiped
        self.blank = self.blank and not self.disk.journal.durable_index

    def _counts(self, core: ReplicaCore) -> bool:
        """Whether its disk is admitted, and by every log where it has had two."""
        instance = self.disk.journal.instance
        if not core._raft.is_admitted or self.world.oracle.admitted(self.name) != instance:
            return False
        return not self.takes_turns or all(
            node.core is not None
            and (row := node.core._raft._admission._row_in_log(self.name)) is not None
            and row.instance == instance
            for node in self.world.nodes.values()
        )

    def _rest(self, core: ReplicaCore) -> float:
        """Seconds until the next turn if nothing arrives."""
        raft, world = core._raft, self.world
        if self._link.inbox or raft.last_applied < raft.commit_index:
            return world.profile.turn
        if raft.role == LEADER:
            return timing.HEARTBEAT * world.rng.uniform(*HEARTBEATS)
        until_it_asks = raft._elections._deadline - raft.now()
        return max(world.profile.turn, min(until_it_asks, world.rng.uniform(*IDLE)))

    def _check(self, core: ReplicaCore) -> None:
        self.world.checks.after_turn(self.name, core._raft)
        if self._link.complaints:
            raise Violation(self._link.complaints[0])
        self._turns += 1
        if self._turns % SCAN_EVERY == 0:
            self.scan()

    def scan(self) -> None:
        """Count all units, and compare all rows with their digest."""
        assert self.core is not None
        self.core._machine.write_back()
        audit(self.disk.state)
        if self.core._machine.scan_digest() != self.core._machine.digest:
            raise Violation(f"{self.name}: the rows do not match their digest")
