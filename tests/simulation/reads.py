"""Reads: of all rows of a node, at any moment, as fresh as somebody asks; each is held against the one log.

As lastunit_node.frontend.reads has it: a linearizable read waits for an entry that was proposed after it came, and for
its COMMIT; others take what is committed, some of them once that has come to an index. Whatever a client was told
before a linearizable read began is in what it sees.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from lastunit_node.replica.core import ReplicaCore
from lastunit_node.replica.state_commits import NEVER
from lastunit_node.statemachine.queries import read_snapshot
from simulation.clock import Clock
from simulation.frontend import Barrier
from simulation.oracle import Oracle

if TYPE_CHECKING:
    from simulation.node import SimulatedNode

REST = (0.1, 1.0)  # seconds between two reads of one reader
PATIENCE = (0.2, 3.0)  # seconds that it waits for one node,
REFUSED = (0.02, 0.2)  # and until it asks another one, when nobody listens there
LINEARIZABLE, OF_AN_INDEX, STALE = "read: linearizable", "read: of an index", "read: stale"


@dataclass
class Wait:
    """Somebody waits until a node has committed an index, or goes elsewhere."""

    index: int
    on_committed: Callable[[], None]
    over: bool = False


class WaitingReads:
    """Those at one node, for the life of its process: what wait_applied is there, where threads meet.

    There a read may begin to wait when Raft's thread has looked for such already, and has not told yet what is
    committed: here some are held back until then.
    """

    def __init__(self, core: ReplicaCore, rng: Random) -> None:
        self._core, self._rng = core, rng
        self._waiting: list[Wait] = []
        self._held_back: list[Wait] = []
        core.before_each_poll(self._publish)

    def put(self, wait: Wait) -> None:
        (self._waiting if self._rng.random() < 0.5 else self._held_back).append(wait)
        self._want()

    def _want(self) -> None:
        self._waiting = [wait for wait in self._waiting if not wait.over]
        self._core.want(min((wait.index for wait in self._waiting), default=NEVER))

    def _publish(self) -> None:
        self._waiting += self._held_back
        self._held_back.clear()
        for wait in self._waiting:
            if not wait.over and wait.index <= self._core.readable_index:
                wait.over = True
                wait.on_committed()
        self._want()


@dataclass
class Attempt:
    """One read at one node, until it is answered or the reader goes elsewhere."""

    node: "SimulatedNode"
    kind: str
    at_least: int  # the index that is to be seen
    waits: Barrier | Wait | None = None
    over: bool = False

    def give_up(self) -> None:
        self.over = True
        if self.waits is not None:
            self.waits.over = True


class Reader:
    """One caller who reads and reads, each time from one node after the other until one of them answers."""

    def __init__(
        self, clock: Clock, rng: Random, nodes: "list[SimulatedNode]", oracle: Oracle, count: Callable[[str], None]
    ) -> None:
        self._clock, self._rng, self._nodes, self._oracle, self._count = clock, rng, nodes, oracle, count
        self._closing = False
        self.busy = True
        self._rest()

    def close(self) -> None:
        """Let the read under way end, and begin no other."""
        self._closing = True

    def _rest(self) -> None:
        self._clock.after(self._rng.uniform(*REST), self._begin)

    def _begin(self) -> None:
        if self._closing:
            self.busy = False
            return
        kind = self._rng.choice([LINEARIZABLE, LINEARIZABLE, OF_AN_INDEX, STALE])
        self._ask(kind, 0 if kind == STALE else self._oracle.told)

    def _ask(self, kind: str, at_least: int) -> None:
        """Ask one node, for a while."""
        attempt = Attempt(self._rng.choice(self._nodes), kind, at_least)
        listens = attempt.node.core is not None
        patience = self._rng.uniform(*(PATIENCE if listens else REFUSED))
        self._clock.after(patience, partial(self._go_elsewhere, attempt))
        if kind == LINEARIZABLE:
            attempt.waits = barrier = Barrier(partial(self._wait, attempt))
            attempt.node.submit(barrier)
        elif kind == OF_AN_INDEX:
            self._wait(attempt, at_least)
        elif listens and not attempt.node.paused:
            self._look(attempt)

    def _wait(self, attempt: Attempt, index: int) -> None:
        attempt.waits = wait = Wait(index, partial(self._look, attempt))
        attempt.node.await_committed(wait)

    def _go_elsewhere(self, attempt: Attempt) -> None:
        if not attempt.over:
            attempt.give_up()
            self._ask(attempt.kind, attempt.at_least)

    def _look(self, attempt: Attempt) -> None:
        attempt.over = True
        with read_snapshot(attempt.node.disk.reader) as snapshot:
            kept, digest = snapshot.state_hash(), snapshot.scan_digest(iter)
        self._oracle.read(attempt.node.name, kept, digest, attempt.at_least)
        if attempt.kind == LINEARIZABLE:
            self._oracle.told = max(self._oracle.told, kept.index)
        self._count(attempt.kind)
        self._rest()
