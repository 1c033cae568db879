"""How long nobody gets an answer while journals are trimmed, and while very many holds expire at once."""

import asyncio
import time
from contextlib import closing
from typing import Any, Final

from support.real_cluster import client, leader_of, only, reader_endpoint

from benchmarks.growth.load import TIMEOUT, NextSku, steady_load
from benchmarks.growth.loader import Tell
from lastunit_client import AsyncInventoryClient
from lastunit_node import sqlite
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.datadir import JOURNAL

HELD: Final = "held"  # the sku of the holds
HOLDERS: Final = 512
TRIM_LIMIT: Final = 60.0  # for the first entries to be trimmed
SOONER_TICKS: Final = 20  # the steady load begins so long before the holds are due
LOOK_SECONDS: Final = 0.05


def journal_start(cluster: LocalCluster, node: str) -> int:
    """Index of the oldest entry in the journal of a node that runs."""
    path = (cluster.config.node_dir(node) / JOURNAL).absolute()
    with closing(sqlite.connect(path, "ro")) as connection:
        return int(sqlite.only_row(connection, "SELECT min(idx) FROM entry")[0])


async def while_trimming(cluster: LocalCluster, next_sku: NextSku, seconds: float) -> dict[str, Any]:
    """A steady load on nodes whose journals are trimmed all the while."""
    leader = await leader_of(cluster)
    first, begin, term = journal_start(cluster, leader), time.perf_counter(), await term_of(cluster)
    trimmed = 0
    async with steady_load(cluster, next_sku) as recorder, asyncio.timeout(TRIM_LIMIT + seconds):
        while not trimmed or time.perf_counter() - begin < seconds:
            await asyncio.sleep(LOOK_SECONDS)
            trimmed = journal_start(cluster, leader) - first
    elections = await term_of(cluster) - term
    return {"entries_trimmed_on_the_leader": trimmed, "elections": elections, "waits": recorder.waits()}


async def term_of(cluster: LocalCluster) -> int:
    """The newest term: a wait that an election explains is none of trimming or expiry."""
    statuses = await asyncio.to_thread(cluster.statuses)
    return max(status.term or 0 for status in statuses.values())


class Clock:
    """The cluster's clock, as the latest answer to a hold told it."""

    def __init__(self, ticks: int) -> None:
        self.ticks = ticks

    def until(self, tick: int) -> int:
        """The hold_ticks that end then, if no tick comes in between."""
        return max(1, tick - self.ticks - 1)


async def hold(buyer: AsyncInventoryClient, count: int, due: int, clock: Clock) -> None:
    """So many holds of one unit, all due at one tick, or the one after."""
    numbers = iter(range(count))

    async def hold_one_after_the_other() -> None:
        for _ in numbers:
            hold_ticks = clock.until(due)
            result = await buyer.reserve({HELD: 1}, hold_ticks=hold_ticks)
            assert result.accepted, result
            clock.ticks = max(clock.ticks, result.expires_at_tick - hold_ticks - 1)

    await buyer.receive_stock({HELD: count})
    await asyncio.gather(*(hold_one_after_the_other() for _ in range(HOLDERS)))


async def while_expiring(
    cluster: LocalCluster, next_sku: NextSku, holds: int, least_rate: float, limit: float, tell: Tell
) -> dict[str, Any]:
    """Make the holds, at least so many a second, then watch a steady load while all of them expire."""
    leader = await leader_of(cluster)
    async with only(cluster, leader) as watcher, client(cluster, timeout=TIMEOUT) as buyer:
        status = await watcher.status(reader_endpoint(cluster, leader))
        assert status.parameters
        tick_seconds = status.parameters.tick_ms / 1000
        due = status.clock + SOONER_TICKS + int((5 + holds / least_rate) / tick_seconds)
        begin = time.perf_counter()
        await hold(buyer, holds, due, Clock(status.clock))
        made = time.perf_counter() - begin
        tell(f"{holds:,} holds made in {made:.1f} s; waiting until they are due")
        await clock_at(watcher, reader_endpoint(cluster, leader), due - SOONER_TICKS, limit)
        async with steady_load(cluster, next_sku) as recorder:
            await clock_at(watcher, reader_endpoint(cluster, leader), due, limit)
            before, begin = await watcher.status(reader_endpoint(cluster, leader)), time.perf_counter()
            await none_held(watcher, limit)
            swept = time.perf_counter() - begin
            after = await watcher.status(reader_endpoint(cluster, leader))
    return {
        "holds": holds,
        "made_in_s": round(made, 2),
        "expired_in_s": round(swept, 2),
        "entries_meanwhile": after.applied_index - before.applied_index,
        "elections": after.term - before.term,
        "waits": recorder.waits(),
    }


async def clock_at(watcher: AsyncInventoryClient, endpoint: str, tick: int, limit: float) -> None:
    """Wait until the clock has come so far."""
    async with asyncio.timeout(limit):
        while (await watcher.status(endpoint)).clock < tick:
            await asyncio.sleep(LOOK_SECONDS)


async def none_held(watcher: AsyncInventoryClient, limit: float) -> None:
    """Wait until every hold was swept. Stale reads: others would add entries, which sweep too."""
    async with asyncio.timeout(limit):
        while (await watcher.get_stock(HELD, stale=True)).held:
            await asyncio.sleep(LOOK_SECONDS)
