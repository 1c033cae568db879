"""The loop that measures failover counts what it says, and a leader that woke up never answers with old data."""

import asyncio
import os
import random
import signal
import time

import pytest
from support.real_cluster import leader_of, local_cluster, only

from chaos.etcd import PROGRAM, etcd_cluster
from chaos.failover import Gauge, LastUnit, lastunit_cluster, measure
from chaos.targets import Leader
from lastunit_client import AsyncInventoryClient, LastUnitError
from lastunit_node.cli.local_cluster import LocalCluster

PAUSES = int(os.environ.get("LASTUNIT_PAUSES", "2"))  # 50 for a long look
PAUSE_S = float(os.environ.get("LASTUNIT_PAUSE_SECONDS", "2.5"))
READERS = 4
GONE_S = 0.4


class Pretended:
    """A target whose next leader needs so long, and a process that was killed GONE_S until it is gone.

    lingers: what the killed leader had committed is answered meanwhile.
    """

    nodes: tuple[str, ...] = ("a", "b", "c")

    def __init__(self, election_s: float, *, lingers: bool = False) -> None:
        self._leader = Leader("a", 1)
        self._election_s = election_s
        self._lingers = lingers
        self._leads = asyncio.Event()
        self._leads.set()

    async def write(self, node: str) -> int | None:
        if not self._lingers:
            await self._leads.wait()
        return self._leader.term

    async def leader(self) -> Leader | None:
        return self._leader

    async def kill(self, node: str) -> float:
        self._leads.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(self._election_s, self._elect)
        return loop.time()

    def _elect(self) -> None:
        self._leader = Leader("b" if self._leader.node == "a" else "a", self._leader.term + 1)
        self._leads.set()

    async def start(self, node: str) -> None:
        await asyncio.sleep(GONE_S)


@pytest.mark.parametrize("lingers", [False, True])
async def test_the_gap_lasts_from_the_kill_to_the_first_answer_in_a_later_term(lingers: bool) -> None:
    """However long a process takes to be gone, and whatever is answered meanwhile of what it had committed."""
    gaps = await Gauge(Pretended(0.05, lingers=lingers)).measure(3, random.Random(1))
    assert len(gaps) == 3
    assert all(0.049 <= gap < GONE_S for gap in gaps)


async def test_an_answer_of_a_later_term_counts_also_when_it_was_asked_for_before_one_of_the_earlier() -> None:
    """It had waited for a leader while another one, of what the killed leader had committed, was answered at once."""
    target, answers = Pretended(0.0), asyncio.Queue[asyncio.Future[int]]()

    async def write(node: str) -> int | None:
        answers.put_nowait(answer := asyncio.Future[int]())
        return await answer

    target.write = write  # type: ignore[method-assign]
    gauge = Gauge(target)
    writes = [asyncio.create_task(gauge._write("b")) for _ in range(2)]
    first, second = await answers.get(), await answers.get()
    second.set_result(1)
    await writes[1]
    first.set_result(2)
    await writes[0]
    assert gauge._counts(gauge._latest["b"], Leader("a", 1))


class Asleep(LocalCluster):
    """A cluster of one process, that sleeps, and of which nobody may wait for the end while a gap is measured."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @property
    def nodes(self) -> tuple[str, ...]:
        return ()

    def running(self) -> dict[str, int]:
        return {"n1": self._pid}

    def kill(self, node: str) -> None:
        raise AssertionError(f"waits until {node} is gone")


async def test_a_leaders_time_of_death_is_when_the_signal_is_sent() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    before = time.monotonic()
    at = await LastUnit(Asleep(process.pid)).kill("n1")
    assert before <= at <= time.monotonic()
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("target", ["lastunit", "etcd"])
async def test_a_leader_that_was_killed_is_measured_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, target: str
) -> None:
    if target == "etcd" and PROGRAM is None:
        pytest.skip("etcd is not installed")
    folder = tmp_path_factory.mktemp(target)
    cluster = etcd_cluster(folder, 50, 500) if target == "etcd" else lastunit_cluster(folder)
    figures = await measure(cluster, kills=2, seed=1)
    assert figures["count"] == 2


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
