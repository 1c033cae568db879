"""Callers that order one unit after the other, and what they had to wait."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from support.real_cluster import client

from lastunit_client import AsyncInventoryClient
from lastunit_node.cli.local_cluster import LocalCluster

CALLERS: Final = 64
STEADY_CALLERS: Final = 4
STEADY_PAUSE: Final = 0.005  # seconds between an answer and the caller's next order: far from what a cluster can do
TIMEOUT: Final = 60.0  # a stall is to be measured, not to end the run
LIMIT: Final = 600.0  # a steady load ends by itself after so many seconds

NextSku = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Waits:
    """What callers saw. longest_gap_ms: the longest time in which none of them had an answer."""

    orders_per_s: float
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    longest_gap_ms: float


class Recorder:
    """Collects answers; times in seconds."""

    def __init__(self) -> None:
        self._begun = self._answered = time.perf_counter()
        self._took: list[float] = []
        self._longest_gap = 0.0

    def answered(self, asked: float) -> None:
        """An order that was sent at `asked` was answered just now."""
        now = time.perf_counter()
        self._took.append(now - asked)
        self._longest_gap = max(self._longest_gap, now - self._answered)
        self._answered = now

    def waits(self) -> Waits:
        """What was seen until the last answer."""
        cuts = statistics.quantiles(self._took, n=100)
        return Waits(
            orders_per_s=round(len(self._took) / (self._answered - self._begun), 1),
            p50_ms=round(cuts[49] * 1e3, 2),
            p99_ms=round(cuts[98] * 1e3, 2),
            slowest_ms=round(max(self._took) * 1e3, 1),
            longest_gap_ms=round(self._longest_gap * 1e3, 1),
        )


async def saturate(cluster: LocalCluster, next_sku: NextSku, seconds: float) -> Waits:
    """Many callers of one client, each with its next order at once, for so many seconds."""
    async with client(cluster, timeout=TIMEOUT) as buyer:
        await asyncio.gather(*(buyer.place_order({next_sku(): 1}) for _ in range(CALLERS)))
        recorder, end = Recorder(), time.perf_counter() + seconds
        await asyncio.gather(*(_buy(buyer, next_sku, recorder, end, 0.0) for _ in range(CALLERS)))
    return recorder.waits()


async def _buy(buyer: AsyncInventoryClient, next_sku: NextSku, recorder: Recorder, end: float, pause: float) -> None:
    while time.perf_counter() < end:
        asked = time.perf_counter()
        result = await buyer.place_order({next_sku(): 1})
        recorder.answered(asked)
        assert result.accepted, result
        if pause:
            await asyncio.sleep(pause)


@asynccontextmanager
async def steady_load(cluster: LocalCluster, next_sku: NextSku) -> AsyncIterator[Recorder]:
    """A few callers, as long as the block lasts; an order that fails ends the block."""
    async with client(cluster, timeout=TIMEOUT) as buyer:
        await buyer.place_order({next_sku(): 1})
        recorder, end = Recorder(), time.perf_counter() + LIMIT
        async with asyncio.TaskGroup() as callers:
            running = [
                callers.create_task(_buy(buyer, next_sku, recorder, end, STEADY_PAUSE)) for _ in range(STEADY_CALLERS)
            ]
            yield recorder
            for caller in running:
                caller.cancel()
