"""One seed from begin to end: faults for at least 30 virtual seconds, then what is left must work again.

Safety is checked all the time. Liveness is checked at the end: a random majority of the nodes, all with intact files,
is healed, the others stay dead; then there is a leader within 5 virtual seconds, every call ends, and all live nodes
come to one index and its hash. Last, all come back and the leader is killed: the next one leads before an election
timeout is over, or votes were split.
"""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog

from lastunit_node import datadir
from lastunit_node.replica import compaction, entry_cache, journal, leader, timing
from lastunit_node.statemachine import state
from lastunit_node.wal import grow
from simulation.clients import Client
from simulation.clock import Clock
from simulation.disk import CrashableJournal, Disk
from simulation.failover import act_as_in_production, are_settled, bring_back, next_leader_within
from simulation.faults import Faults
from simulation.frontend import Call
from simulation.network import LATEST, Network
from simulation.node import SimulatedNode, Surroundings
from simulation.oracle import Oracle, Violation
from simulation.profile import Profile
from simulation.raft_checks import RaftChecks
from simulation.reads import Reader
from simulation.trace import Trace

ELECTION_MAX = timing.ELECTION_MAX  # the real one
FAULTY_SECONDS = 30.0
LATEST_SECONDS = 180.0  # by then there were enough commands and leaders, or the cluster is stuck
COMMANDS = 300
LEADERS = 3  # two changes
READERS = 2
LEADER_WITHIN = 5.0
CALLS_END_WITHIN = 10.0
REJOIN = 0.8  # chance that a wiped node is among those that live: it is to be admitted and to come level
LEVEL_WITHIN = 5.0
SETTLED_WITHIN = 10.0  # those that fetch a copy or are to be admitted too


@dataclass
class Report:
    """How a seed went."""

    seed: int
    nodes: int
    seconds: float = 0.0  # virtual
    faulty_seconds: float = 0.0
    wall_seconds: float = 0.0
    leaders: int = 0
    entries: int = 0
    answered: int = 0
    unknown: int = 0
    recovery: float = 0.0  # virtual seconds from the end of the faults to a leader
    failover: float = 0.0  # from the death of a leader in calm to the next one that leads
    events: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    hash: str = ""
    violation: str | None = None


class World:
    """One cluster, its clients and its misfortunes."""

    def __init__(self, seed: int, count: int, folder: Path, *, trace: bool = False) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.report = Report(seed, count)
        self._clock = Clock()
        self._clock.take_over(self._rng("raft"))
        self._profile = Profile.draw(self._rng("profile"))
        set_constants(self._profile)
        self._trace = Trace(self._clock, aloud=trace)
        names = [f"n{number}" for number in range(1, count + 1)]
        self._network = Network(self._clock, self._rng("network"), self._profile, self._trace, names)
        self._oracle = Oracle()
        self._checks = RaftChecks(self._oracle)
        self._nodes: dict[str, SimulatedNode] = {}
        for name in names:
            self._nodes[name] = self._make_node(name, names, folder)
        self._faults = Faults(
            self._clock, self._rng("faults"), self._profile, self._trace, self._network, list(self._nodes.values())
        )
        self._faults.had_leaders = lambda: len(self._checks.leaders) >= LEADERS
        self._clients = [
            Client(
                number, self._clock, self._rng(f"client {number}"), self._profile, names, self._submit, self._is_ahead
            )
            for number in range(self._profile.clients)
        ]
        self._callers: list[Client | Reader] = [*self._clients]
        self._callers += [
            Reader(
                self._clock, self._rng(f"reader {number}"), list(self._nodes.values()), self._oracle, self._count_read
            )
            for number in range(READERS)
        ]
        self._trace.say(f"{self._profile}")

    def _rng(self, purpose: str) -> Random:
        return Random(f"{self.report.seed} {self.report.nodes} {purpose}")

    def _make_node(self, name: str, names: list[str], folder: Path) -> SimulatedNode:
        disk = Disk(folder, names, name, self._rng(f"disk {name}"), self._profile.checkpoint_pages)
        world = Surroundings(
            self._clock,
            self._rng(name),
            self._profile,
            self._network,
            self._oracle,
            self._checks,
            self._trace,
            self.report.events,
            self._nodes,
        )
        return SimulatedNode(name, [peer for peer in names if peer != name], disk, world)

    def _count_read(self, kind: str) -> None:
        self.report.events[kind] += 1

    def _submit(self, name: str, call: Call) -> bool:
        return self._nodes[name].submit(call)

    def _is_ahead(self) -> bool:
        """Whether clients may take their time: real seconds are dear."""
        return self._answered() > COMMANDS * (0.1 + 1.1 * self._clock.now / FAULTY_SECONDS)

    def _answered(self) -> int:
        return sum(client.answered for client in self._clients)

    def run(self) -> Report:
        begin = time.monotonic()
        try:
            self._play()
        except Violation as violation:
            self.report.violation = str(violation)
        except Exception as problem:
            self.report.violation = f"a node stopped: {problem!r}"
            self._trace.say(traceback.format_exc())
        self._fill_report()
        self.report.wall_seconds = time.monotonic() - begin
        return self.report

    def _fill_report(self) -> None:
        report = self.report
        report.seconds, report.hash = self._clock.now, self._trace.hash
        report.leaders, report.entries = len(self._checks.leaders), len(self._oracle.records)
        report.answered = self._answered()
        report.unknown = sum(client.unknown for client in self._clients)
        report.faults, report.messages = self._faults.counts, self._network.counts
        if report.violation:
            self._trace.say(f"VIOLATION: {report.violation}")

    def _play(self) -> None:
        for node in self._nodes.values():
            node.start()
        self._faults.begin()
        self._run_until(self._has_seen_enough, LATEST_SECONDS, "the cluster made too little progress under faults")
        self.report.faulty_seconds = self._clock.now
        self._recover()
        self._fail_over()

    def _has_seen_enough(self) -> bool:
        if self._clock.now < FAULTY_SECONDS or len(self._checks.leaders) < LEADERS:
            return False
        return self._answered() >= COMMANDS

    def _run_until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = self._clock.now + seconds
        while not condition():
            if self._clock.now > deadline:
                raise Violation(otherwise)
            self._clock.step()

    # Liveness.

    def _recover(self) -> None:
        survivors = self._heal_a_majority()
        healed = self._clock.now
        self._run_until(lambda: any(node.is_leader for node in survivors), LEADER_WITHIN, "no leader after the faults")
        self.report.recovery = self._clock.now - healed
        self._run_until(self._all_calls_ended, CALLS_END_WITHIN, "a call did not end after the faults")
        target = len(self._oracle.records)
        self._run_until(lambda: have_reached(survivors, target), LEVEL_WITHIN, f"a node did not come to index {target}")
        self._run_until(lambda: are_admitted(survivors), LEVEL_WITHIN, "a wiped node was not admitted")
        for node in survivors:
            node.scan()

    def _heal_a_majority(self) -> list[SimulatedNode]:
        self._network.calm = True
        setattr(timing, "ELECTION_MAX", ELECTION_MAX)  # noqa: B010 - it is Final
        self._faults.finish()
        rng, nodes = self._rng("survivors"), list(self._nodes.values())
        intact = [node for node in nodes if not node.broken]
        counting = [node for node in intact if not node.has_lost_its_disk]
        survivors = rng.sample(counting, rng.randint(len(nodes) // 2 + 1, len(counting)))
        survivors += [node for node in intact if node not in counting and rng.random() < REJOIN]
        for node in intact:
            node.mishaps.forget(copies_too=True)
            if node.core is not None:
                node.core._raft._SyncObj__conf.raftMaxTimeout = ELECTION_MAX
            if node not in survivors:
                node.crash(power=False)
        for caller in self._callers:
            caller.close()
        self._trace.say(f"healed: {' '.join(node.name for node in survivors)}; the others stay dead")
        return survivors

    def _fail_over(self) -> None:
        """With all nodes there and nothing wrong, the leader is killed, as by kill -9: its connections close."""
        act_as_in_production()
        nodes = list(self._nodes.values())
        for node in nodes:
            bring_back(node)
        self._run_until(lambda: are_settled(nodes), SETTLED_WITHIN, "the nodes did not come back under one leader")
        last_stray = self.report.faulty_seconds + LATEST  # or one that its sender outlived tells of a leader that died
        moment = max(self._clock.now, last_stray) + self._rng("failover").uniform(0.0, 2 * timing.HEARTBEAT)
        self._run_until(lambda: self._clock.now >= moment, SETTLED_WITHIN, "nothing happens any more")
        leader = next(node for node in nodes if node.leads)
        leader.crash(power=False)
        killed, bound = self._clock.now, next_leader_within(len(nodes), self._profile)
        self._trace.say(f"{leader.name}, which led, was killed in calm")
        slow = f"no leader within {bound:.2f} s of the death of the last one, in calm"
        self._run_until(lambda: any(node.leads for node in nodes), bound, slow)
        self.report.failover = self._clock.now - killed

    def _all_calls_ended(self) -> bool:
        return not any(caller.busy for caller in self._callers)


def set_constants(profile: Profile) -> None:
    """What paces and bounds the real code, for the life of the process."""
    for module, name, value in (
        (datadir, "SqliteJournal", CrashableJournal),
        (leader, "MAX_APPEND_ENTRIES", profile.append_entries),
        (timing, "HEARTBEAT", profile.heartbeat),
        (timing, "ELECTION_MAX", profile.election_max),
        (timing, "PROMISE", profile.promise),
        (timing, "STATE_COMMIT", profile.state_commit),
        (timing, "COMPACTION", profile.trim_seconds),
        (entry_cache, "CACHE_ENTRIES", profile.cached_entries),
        (journal, "CHECKPOINT_PAGES", profile.checkpoint_pages),
        (compaction, "MARGIN_ENTRIES", profile.margin_entries),
        (compaction, "SLOW_MARGIN_ENTRIES", profile.slow_margin_entries),
        (compaction, "MAX_BYTES", profile.journal_bytes),
        (compaction, "PIECE_ENTRIES", profile.trim_entries),
        (state, "RANGES_AN_ENTRY", profile.ranges_an_entry),
        (grow, "GROWN_BYTES", 0),  # crashes and damage are to hit the log; zeros behind it: tests/vfs
    ):
        setattr(module, name, value)


def are_admitted(nodes: list[SimulatedNode]) -> bool:
    """Whether all know that their disks count."""
    return all(node.core is not None and node.core._raft.is_admitted for node in nodes)


def have_reached(nodes: list[SimulatedNode], index: int) -> bool:
    """Whether all have applied it; the oracle has compared their hashes."""
    return all(node.core is not None and node.core._machine.applied_index >= index for node in nodes)
