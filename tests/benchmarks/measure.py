"""The load. One process, one event loop, the same for every system; its own CPU time is part of what is measured.

A closed loop asks again as soon as it is answered. An open loop has intended starts at even distances, and counts
latency from the intended start: a system that stands still is charged for every request that should have begun
meanwhile. The event loop's timers have milliseconds, so an open loop adds up to one to every latency.
"""

import asyncio
import time
from array import array
from collections.abc import Callable, Coroutine, Iterator
from typing import NamedTuple

from benchmarks.plan import Operation

GRACE_S = 20.0  # for the last answers


class Span(NamedTuple):
    """Seconds before anything counts, and seconds that count."""

    warm_up: float
    counted: float


class Sample(NamedTuple):
    """What came of it. right: orders answered rightly that count, in so many seconds; all_right, wrong: of all."""

    right: int
    seconds: float
    latencies: "array[float]"
    all_right: int
    wrong: int

    @property
    def orders_per_s(self) -> float:
        """Throughput."""
        return self.right / self.seconds


class _Tally:
    """Counts answers."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self.latencies = array("d")
        self.right = self.all_right = self.wrong = 0

    def add(self, right: int, seconds: float, counts: bool) -> None:
        self.all_right += right
        self.wrong += self._batch - right
        if counts:
            self.right += right
            self.latencies.append(seconds)

    def sample(self, seconds: float) -> Sample:
        return Sample(self.right, seconds, self.latencies, self.all_right, self.wrong)


async def closed_loop(operation: Operation, callers: int, batch: int, span: Span) -> Sample:
    """So many callers for the span; what is answered within the counted time counts. TimeoutError when it hangs."""
    tally = _Tally(batch)
    starts_at = time.monotonic() + span.warm_up
    ends_at = starts_at + span.counted

    async def call(number: int) -> None:
        asked_at = time.monotonic()
        while asked_at < ends_at:
            right = await operation(number)
            answered_at = time.monotonic()
            tally.add(right, answered_at - asked_at, starts_at <= answered_at <= ends_at)
            asked_at = answered_at

    await _together(call, callers, span)
    return tally.sample(span.counted)


def intended_starts(per_second: float, seconds: float) -> Iterator[float]:
    """Seconds after the beginning: even distances, the first at 0."""
    return (number / per_second for number in range(int(per_second * seconds)))


async def open_loop(operation: Operation, callers: int, batch: int, orders_per_s: float, span: Span) -> Sample:
    """So many orders a second; at most `callers` requests are under way, the next waits, its latency running.

    What was meant to start within the counted time counts, over the time until all of it was answered.
    """
    tally = _Tally(batch)
    starts = intended_starts(orders_per_s / batch, span.warm_up + span.counted)
    begun_at = time.monotonic()
    counts_from = begun_at + span.warm_up
    last = counts_from + span.counted

    async def call(number: int) -> None:
        nonlocal last
        for start in starts:
            intended = begun_at + start
            early = intended - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            right = await operation(number)
            answered_at = time.monotonic()
            tally.add(right, answered_at - intended, intended >= counts_from)
            last = max(last, answered_at)

    await _together(call, callers, span)
    return tally.sample(last - counts_from)


async def _together(call: Callable[[int], Coroutine[object, None, None]], callers: int, span: Span) -> None:
    """All callers at once; the first error ends them all."""
    async with asyncio.timeout(span.warm_up + span.counted + GRACE_S), asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(call(number))
