"""What was acknowledged is there: after kill -9 of every node, and on a node that was left behind."""

import asyncio
import os
from collections.abc import Callable

import pytest
from support.real_cluster import (
    assert_nodes_agree,
    client,
    eventually,
    kill_all,
    leader_of,
    only,
    reader_endpoint,
    reservations_on,
    sold_units,
)

from lastunit_client import LastUnitError
from lastunit_node.cli.local_cluster import LocalCluster

MakeCluster = Callable[..., LocalCluster]

ROUNDS = int(os.environ.get("LASTUNIT_ROUNDS", "2"))  # of kill -9 of all nodes


async def buy_until_refused(cluster: LocalCluster, prefix: str, acknowledged: set[str]) -> None:
    """One buyer placing order after order until the cluster is gone."""
    async with client(cluster, first=hash(prefix), timeout=0.5) as buyer:
        for number in range(10_000):
            try:
                result = await buyer.place_order({"vase": 1}, reservation_id=f"{prefix}-{number}")
            except LastUnitError:
                return
            assert result.accepted
            acknowledged.add(result.request_id)


async def until_acknowledged(acknowledged: set[str], goal: int) -> None:
    await eventually(lambda: len(acknowledged) >= goal, "100 orders are acknowledged")


@pytest.mark.timeout(60 + 20 * ROUNDS)
async def test_acknowledged_orders_survive_kill_9_of_every_node(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000_000}, receipt_id="delivery")
    acknowledged: set[str] = set()
    for round_number in range(ROUNDS):
        goal = len(acknowledged) + 100
        buyers = [
            asyncio.create_task(buy_until_refused(cluster, f"round{round_number}-{number}", acknowledged))
            for number in range(8)
        ]
        await until_acknowledged(acknowledged, goal)
        await asyncio.to_thread(kill_all, cluster)
        await asyncio.gather(*buyers)
        for node in cluster.nodes:
            await asyncio.to_thread(cluster.start, node)
        await asyncio.to_thread(cluster.wait_serving)
        await assert_everywhere(cluster, acknowledged)


async def assert_everywhere(cluster: LocalCluster, acknowledged: set[str]) -> None:
    """Every node has every acknowledged order, and no unit is in two."""
    for node in cluster.nodes:
        reservations = await reservations_on(cluster, node)
        assert acknowledged <= set(reservations), acknowledged - set(reservations)
        sold_units(reservations)
    await assert_nodes_agree(cluster)


async def test_a_node_that_was_left_behind_catches_up_within_five_seconds(make_cluster: MakeCluster) -> None:
    """A rejoining node: an uncommitted entry on the old leader, 200 kB committed by the others, a restart."""
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000_000}, receipt_id="delivery")
    old = await leader_of(cluster)
    first, second = [node for node in cluster.nodes if node != old]
    await asyncio.to_thread(cluster.kill, first)
    await asyncio.to_thread(cluster.kill, second)
    await strand_an_entry(cluster, old)
    await asyncio.to_thread(cluster.kill, old)
    for node in (first, second):
        await asyncio.to_thread(cluster.start, node)
    await asyncio.to_thread(cluster.wait_serving, 30.0, (first, second))
    await commit_200_kilobytes(cluster, first)
    await asyncio.to_thread(cluster.kill, first)
    await asyncio.to_thread(cluster.start, first)
    await asyncio.to_thread(cluster.wait_serving, 30.0, (first, second))
    await asyncio.to_thread(cluster.start, old)
    await asyncio.to_thread(cluster.wait_serving, 5.0)
    async with only(cluster, second) as reader:
        index = (await reader.status(reader_endpoint(cluster, second))).applied_index
    async with only(cluster, old) as reader:
        status = await reader.status(reader_endpoint(cluster, old), hash_at_index=index, timeout=5.0)
    assert status.applied_index >= index
    await assert_nodes_agree(cluster)


async def strand_an_entry(cluster: LocalCluster, node: str) -> None:
    """Leave an entry in the log of a leader without followers."""
    async with only(cluster, node, timeout=0.3) as buyer:
        before = await buyer.status(reader_endpoint(cluster, node))
        with pytest.raises(LastUnitError) as caught:
            await buyer.place_order({"vase": 1}, reservation_id="stranded")
        assert not caught.value.definite
        after = await buyer.status(reader_endpoint(cluster, node))
    assert after.last_index > before.last_index
    assert after.commit_index == before.commit_index


async def commit_200_kilobytes(cluster: LocalCluster, node: str) -> None:
    """200 entries of about 1 kB each: one order of twenty lines after the other."""
    async with client(cluster) as seller:
        skus = [f"a-rather-long-name-of-an-article-{number:04}" for number in range(20)]
        await seller.receive_stock(dict.fromkeys(skus, 1_000), receipt_id="articles")
    async with only(cluster, node) as buyer:
        for number in range(200):
            result = await buyer.place_order(dict.fromkeys(skus, 1), reservation_id=f"large-{number}")
            assert result.accepted
