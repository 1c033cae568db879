"""One node through all its lives: the real ReplicaCore, turn by turn, until it is killed, and then again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from unit.statemachine.shop import audit

from lastunit_node.replica import timing
from lastunit_node.replica.core import RecordingMachine, ReplicaCore
from lastunit_node.statemachine.results import Applied, StateHash
from lastunit_node.statemachine.tables import AdmittedRow
from simulation.clock import Clock, NodeClock
from simulation.disk import CrashableJournal, Disk
from simulation.frontend import Call, FrontEnd
from simulation.network import Network, SimulatedLink
from simulation.oracle import Oracle, Violation
from simulation.profile import Profile
from simulation.raft_checks import RaftChecks
from simulation.trace import Trace

TURN = 0.0005  # seconds that a turn takes which found something to do
AUDIT_EVERY = 16  # indexes between two full counts of all units
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


class Crash(BaseException):
    """The process dies here, in the middle of a turn."""


class WatchedMachine:
    """The real state machine; every application goes to the oracle."""

    def __init__(self, node: "SimulatedNode", machine: RecordingMachine) -> None:
        self._node, self._machine = node, machine

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        node, world = self._node, self._node.world
        world.checks.about_to_apply(node.name, index, node.disk.journal)
        applied = self._machine.apply(index, term, entry)
        if not world.network.calm:
            world.clock.now += world.profile.apply_cost  # for everyone: the price of one thread
        state = self._machine.machine.state_hash()
        if world.oracle.applied(node.name, entry, applied, state):
            outcomes = " ".join(result.outcome.name for result in applied.results)
            world.trace.say(f"{node.name} applies {index} of term {term} first: {outcomes or 'nothing'}")
            if index % AUDIT_EVERY == 0:
                audit(node.disk.state)
        return applied

    def commit(self) -> None:
        self._machine.commit()

    def hash_at(self, index: int) -> StateHash | None:
        return self._machine.hash_at(index)

    def admitted(self, node: str) -> AdmittedRow | None:
        return self._machine.admitted(node)


class SimulatedNode:
    """A disk, and now and then a process on it."""

    def __init__(self, name: str, peers: list[str], disk: Disk, world: Surroundings) -> None:
        self.name, self._peers, self.disk, self.world = name, peers, disk, world
        self.core: ReplicaCore | None = None
        self.paused = False
        self.on_crash: Callable[[SimulatedNode, bool], None] = lambda _node, _power: None
        self._boot = 0
        self._turns = 0
        self._due: float | None = None  # the next turn
        self._crash_in: int | None = None  # so many messages and syncs until it dies
        self._crash_with_power = False

    @property
    def leads(self) -> bool:
        return self.core is not None and self.core._raft.leads

    def start(self) -> None:
        assert self.core is None, self.name
        self._boot += 1
        self._crash_in = self._due = None
        self._node_clock = NodeClock(self.world.rng)
        self.world.clock.read_as(self._node_clock)
        journal, state = self.disk.open()
        self._link = SimulatedLink(self.name, self.world.network, self._wake)
        self.core = ReplicaCore(
            self.name,
            self._peers,
            link=self._link,
            journal=journal,
            state=state,
            configure=self.world.profile.configure,
        )
        self._watch(self.core, journal)
        self.world.network.attach(self._link)
        self._wake()

    def _watch(self, core: ReplicaCore, journal: CrashableJournal) -> None:
        core._raft._machine = WatchedMachine(self, core._recording)
        self.world.checks.born(self.name, core._raft)
        journal.on_sync = self._maybe_crash
        journal.on_add = partial(self.world.checks.entry_added, journal)
        self._link.before_send = partial(self._before_send, journal)
        acknowledged = partial(self.world.oracle.acknowledged, self.name)
        self._front_end = FrontEnd(core, self.world.clock, self.world.rng, acknowledged)

    def _before_send(self, journal: CrashableJournal, peer: str, message: dict[str, object]) -> None:
        self._maybe_crash()
        self.world.checks.about_to_send(self.name, peer, message, journal)

    # Death.

    def crash_soon(self, steps: int, *, power: bool) -> None:
        """Die in the middle of a turn: at the so manieth message or sync from now."""
        self._crash_in, self._crash_with_power = steps, power

    def spare(self) -> None:
        """No more crash in a turn."""
        self._crash_in = None

    def _maybe_crash(self) -> None:
        if self._crash_in is None:
            return
        self._crash_in -= 1
        if self._crash_in <= 0:
            raise Crash

    def crash(self, *, power: bool) -> int:
        """Die now. The number of the state's transactions that were lost."""
        assert self.core is not None, self.name
        self.core, self.paused = None, False
        self._front_end.dead = True
        self.world.network.silent.discard(self.name)
        self.world.network.detach(self.name, timing.CONNECTION_SILENCE if power else 0.01)
        return self.disk.crash(power=power)

    def pause(self) -> None:
        self.paused = True
        self.world.network.silent.add(self.name)

    def resume(self) -> None:
        self.paused = False
        self.world.network.silent.discard(self.name)
        self._wake()

    # Turns.

    def submit(self, call: Call) -> bool:
        if self.core is None:
            return False
        self._front_end.submit(call)
        self._wake()
        return True

    def _wake(self) -> None:
        """Something arrived: the poll under way returns."""
        self._wake_at(self.world.clock.now + TURN)

    def _wake_at(self, time: float) -> None:
        if self._due is None or time < self._due:
            self._due = time
            boot = self._boot
            self.world.clock.at(time, lambda: self._wake_up(boot, time))

    def _wake_up(self, boot: int, time: float) -> None:
        if boot != self._boot or time != self._due:
            return
        self._due = None
        if self.core is not None and not self.paused:
            self._turn(self.core)

    def _turn(self, core: ReplicaCore) -> None:
        self.world.clock.read_as(self._node_clock)
        try:
            self._front_end.step()
            core.turn(0.0)
        except Crash:
            self.on_crash(self, self._crash_with_power)
            return
        self._check(core)
        busy = self._link.inbox or core._raft.last_applied < core._raft.commit_index
        self._wake_at(self.world.clock.now + (TURN if busy else timing.POLL))

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
        audit(self.disk.state)
        if self.core._machine.scan_digest() != self.core._machine.digest:
            raise Violation(f"{self.name}: the rows do not match their digest")
