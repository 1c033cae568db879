"""A node that is too far behind for the leader's log fetches a copy of its state, and follows from there."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support import real_cluster
from support.real_cluster import assert_nodes_agree, client, eventually, kill_all, leader_of, write_config

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster
from lastunit_node.datadir import DataDirectory

SMALL_MARGINS = {"PYTHONPATH": str(Path(real_cluster.__file__).parent / "small_margins")}


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster that keeps some twenty log entries."""
    cluster = LocalCluster(load_cluster(write_config(tmp_path)))
    cluster.format()
    for node in cluster.nodes:
        cluster.start(node, SMALL_MARGINS)
    cluster.wait_serving()
    yield cluster
    kill_all(cluster)


def first_index(cluster: LocalCluster, node: str) -> int:
    """Where the journal of a stopped node starts."""
    directory = DataDirectory(cluster.config.node_dir(node), cluster.config.cluster, node)
    journal = directory.open_journal(read_only=True)
    first = journal.first_index
    journal._connection.close()
    directory.close()
    return first


def has_at_least(acknowledged: set[str], goal: int) -> bool:
    """Whether so many orders are acknowledged."""
    return len(acknowledged) >= goal


async def place_orders(cluster: LocalCluster, prefix: str, count: int) -> None:
    """One entry after the other."""
    async with client(cluster) as buyer:
        for number in range(count):
            assert (await buyer.place_order({"vase": 1}, reservation_id=f"{prefix}-{number}")).accepted


async def test_a_node_too_far_behind_comes_back_through_a_copy(forgetful: LocalCluster) -> None:
    cluster = forgetful
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10_000}, receipt_id="delivery")
    leader = await leader_of(cluster)
    behind = next(node for node in cluster.nodes if node != leader)
    await place_orders(cluster, "before", 10)
    await asyncio.to_thread(cluster.kill, behind)
    await place_orders(cluster, "meanwhile", 200)
    pid = await asyncio.to_thread(cluster.start, behind, SMALL_MARGINS)
    await asyncio.to_thread(cluster.wait_serving, 20.0)
    log = cluster.log_tail(behind, 100)
    assert "too far behind for the leader's log" in log
    assert "a copy of the state arrived" in log
    assert cluster.running()[behind] == pid, "it started again from the copy under the same PID"
    await place_orders(cluster, "after", 10)
    await assert_nodes_agree(cluster)
    files = {path.name for path in cluster.config.node_dir(behind).iterdir()}
    assert not any(name.startswith(("state.db", "copy-")) for name in files), files
    await asyncio.to_thread(cluster.down)
    assert all(first_index(cluster, node) > 100 for node in cluster.nodes), "every journal was trimmed"


async def test_acknowledged_orders_survive_kill_9_of_all_while_journals_are_trimmed(
    forgetful: LocalCluster,
) -> None:
    cluster = forgetful
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 100_000}, receipt_id="delivery")
    acknowledged: set[str] = set()

    async def buy(name: str) -> None:
        async with client(cluster, timeout=0.5) as buyer:
            for number in range(10_000):
                result = await buyer.place_order({"vase": 1}, reservation_id=f"{name}-{number}")
                acknowledged.add(result.request_id)

    for round_number in range(3):
        progress = partial(has_at_least, acknowledged, len(acknowledged) + 150)
        buyers = [asyncio.create_task(buy(f"r{round_number}-{number}")) for number in range(3)]
        await eventually(progress, "150 more orders")
        await asyncio.to_thread(kill_all, cluster)
        await asyncio.gather(*buyers, return_exceptions=True)
        for node in cluster.nodes:
            await asyncio.to_thread(cluster.start, node, SMALL_MARGINS)
        await asyncio.to_thread(cluster.wait_serving)
        for node in cluster.nodes:
            found = await real_cluster.reservations_on(cluster, node)
            assert acknowledged <= set(found), acknowledged - set(found)
            real_cluster.sold_units(found)
        await assert_nodes_agree(cluster)
