"""Virtual time: a queue of events, and the clock that each node reads, which is fast or slow and starts anywhere."""

import heapq
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

from pysyncobj import syncobj as pysyncobj_module

DRIFT = 0.1  # a node's clock runs so much too fast or too slow, at most


class NodeClock:
    """Monotonic clock of one boot of a node."""

    def __init__(self, rng: Random) -> None:
        self._offset = rng.uniform(0.0, 1e6)
        self._rate = rng.uniform(1.0 - DRIFT, 1.0 + DRIFT)

    def read(self, now: float) -> float:
        return self._offset + self._rate * now


class Clock:
    """Seconds since the seed began. Events of one moment happen in the order in which they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._made = 0
        self._read: Callable[[float], float] = float

    def at(self, time: float, event: Callable[[], Any]) -> None:
        self._made += 1
        heapq.heappush(self._events, (time, self._made, event))

    def after(self, delay: float, event: Callable[[], Any]) -> None:
        self.at(self.now + delay, event)

    def step(self) -> None:
        """Let the next event happen. An event may itself take time: what was due meanwhile happens late."""
        time, _, event = heapq.heappop(self._events)
        self.now = max(self.now, time)
        event()

    def read_as(self, node_clock: NodeClock) -> None:
        """From now on, code that asks for the time is this node's."""
        self._read = node_clock.read

    def take_over(self, rng: Random) -> None:
        """Give PySyncObj this time, and chance of this seed, for the life of the process."""
        pysyncobj_module.monotonicTime = lambda: self._read(self.now)
        pysyncobj_module.random = SimpleNamespace(random=rng.random)
