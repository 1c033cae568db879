"""The loop that measures failover counts what it says, and a leader that woke up never answers with old data."""

import asyncio
import os
import random

import pytest
from support.real_cluster import leader_of, local_cluster, only

from chaos.failover import Gauge
from chaos.targets import Leader
from lastunit_client import AsyncInventoryClient, LastUnitError
from lastunit_node.cli.local_cluster import LocalCluster

PAUSES = int(os.environ.get("LASTUNIT_PAUSES", "2"))  # 50 for a long look
PAUSE_S = float(os.environ.get("LASTUNIT_PAUSE_SECONDS", "2.5"))
READERS = 4


class Pretended:
    """A target whose next leader needs 50 ms, and which goes on answering old writes meanwhile."""

    nodes: tuple[str, ...] = ("a", "b", "c")

    def __init__(self) -> None:
        self._leader = Leader("a", 1)
        self._leads = asyncio.Event()
        self._leads.set()

    async def write(self, node: str) -> int | None:
        await self._leads.wait()
        return self._leader.term

    async def leader(self) -> Leader | None:
        return self._leader

    async def kill(self, node: str) -> None:
        self._leads.clear()
        asyncio.get_running_loop().call_later(0.05, self._elect)

    def _elect(self) -> None:
        self._leader = Leader("b" if self._leader.node == "a" else "a", self._leader.term + 1)
        self._leads.set()

    async def start(self, node: str) -> None:
        return


async def test_the_gap_lasts_from_the_kill_to_the_first_answer_after_it() -> None:
    gaps = await Gauge(Pretended()).measure(3, random.Random(1))
    assert len(gaps) == 3
    assert all(0.05 <= gap < 0.5 for gap in gaps)


async def read(reader: AsyncInventoryClient) -> int | None:
    try:
        return (await reader.get_stock("vase")).sold
    except LastUnitError:
        return None


async def sell_elsewhere(cluster: LocalCluster, leader: str) -> int:
    """One more unit, through a node that does not sleep; how many are sold then."""
    other = await leader_of(cluster, excluding=leader)
    async with only(cluster, other) as buyer:
        assert (await buyer.place_order({"vase": 1})).accepted
        return (await buyer.get_stock("vase")).sold


@pytest.mark.timeout(120 + 15 * PAUSES)
async def test_a_leader_that_was_paused_never_answers_a_read_with_old_data(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Reads wait in its sockets when it wakes up, still believing that it leads."""
    folder = tmp_path_factory.mktemp("paused")
    with local_cluster(folder) as cluster:
        async with only(cluster, "n1") as seller:
            await seller.receive_stock({"vase": 10_000})
        for _ in range(PAUSES):
            await pause_once(cluster)


async def pause_once(cluster: LocalCluster) -> None:
    leader = await leader_of(cluster)
    readers = [only(cluster, leader, timeout=PAUSE_S + 5.0) for _ in range(READERS)]
    assert None not in await asyncio.gather(*(read(reader) for reader in readers)), "they are connected"
    await asyncio.to_thread(cluster.pause, leader)
    woken = asyncio.create_task(asyncio.sleep(PAUSE_S))
    try:
        sold = await sell_elsewhere(cluster, leader)
        reads = [asyncio.create_task(read(reader)) for reader in readers]
        await woken
    finally:
        await asyncio.to_thread(cluster.resume, leader)
    seen = await asyncio.gather(*reads, *(read(reader) for reader in readers))
    assert sum(one is not None for one in seen) >= READERS, "it answers again"
    assert all(one is None or one >= sold for one in seen), f"{sold} were sold; {leader} answered {seen}"
    await asyncio.gather(*(reader.close() for reader in readers))
    await asyncio.to_thread(cluster.wait_serving)
