"""The kata on real nodes: 15 buyers, 10 units, and what goes wrong meanwhile."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import real_cluster
from support.real_cluster import assert_nodes_agree, assert_tokens_unique, client, leader_of, only, reservations_on

from lastunit_client import CommandResult, Outcome
from lastunit_node.cli.local_cluster import LocalCluster

MakeCluster = Callable[..., LocalCluster]

CRAZY_CLOCK = Path(real_cluster.__file__).parent / "crazy_clock"


async def buy(cluster: LocalCluster, number: int, sku: str = "vase") -> CommandResult:
    """One buyer, at the node its number falls on."""
    async with client(cluster, first=number) as buyer:
        return await buyer.place_order({sku: 1}, reservation_id=f"buyer-{number}")


async def sell(cluster: LocalCluster, buyers: int, units: int) -> list[CommandResult]:
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": units}, receipt_id="delivery")
    return await asyncio.gather(*(buy(cluster, number) for number in range(buyers)))


async def assert_sold_exactly(cluster: LocalCluster, results: list[CommandResult], units: int) -> None:
    """As many orders as units, each with a unit of its own, the same on every node."""
    placed = [result for result in results if result.outcome is Outcome.ORDER_PLACED]
    assert len(placed) == units
    assert {result.outcome for result in results} <= {Outcome.ORDER_PLACED, Outcome.OUT_OF_STOCK}
    assert_tokens_unique([result.token for result in placed if result.token])
    for node in cluster.nodes:
        reservations = await reservations_on(cluster, node)
        owners = real_cluster.sold_units(reservations)
        assert sorted(owners) == [("vase", number) for number in range(1, units + 1)]
        assert sorted(owners.values()) == sorted(result.request_id for result in placed)
    await assert_nodes_agree(cluster)


@pytest.mark.parametrize("nodes", [3, 5])
async def test_fifteen_buyers_for_ten_units_through_all_nodes(make_cluster: MakeCluster, nodes: int) -> None:
    cluster = await asyncio.to_thread(make_cluster, nodes)
    await assert_sold_exactly(cluster, await sell(cluster, buyers=15, units=10), units=10)


async def test_the_leader_is_killed_in_the_middle_of_the_sale(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10}, receipt_id="delivery")
    leader = await leader_of(cluster)
    sale = [asyncio.create_task(buy(cluster, number)) for number in range(5)]
    await asyncio.wait(sale, return_when=asyncio.FIRST_COMPLETED)
    sale += [asyncio.create_task(buy(cluster, number)) for number in range(5, 15)]
    await asyncio.to_thread(cluster.kill, leader)
    results = await asyncio.gather(*sale)
    await asyncio.to_thread(cluster.start, leader)
    await asyncio.to_thread(cluster.wait_serving)
    await assert_sold_exactly(cluster, list(results), units=10)


async def test_the_leader_is_paused_in_the_middle_of_the_sale(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10}, receipt_id="delivery")
    leader = await leader_of(cluster)
    sale = [asyncio.create_task(buy(cluster, number)) for number in range(15)]
    await asyncio.to_thread(cluster.pause, leader)
    await leader_of(cluster, excluding=leader)
    await asyncio.to_thread(cluster.resume, leader)
    await assert_sold_exactly(cluster, list(await asyncio.gather(*sale)), units=10)


async def test_the_leader_is_stopped_in_the_middle_of_the_sale(make_cluster: MakeCluster) -> None:
    """SIGTERM: it hands leadership over, so no election timeout is waited for."""
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10}, receipt_id="delivery")
    leader = await leader_of(cluster)
    sale = [asyncio.create_task(buy(cluster, number)) for number in range(15)]
    assert await asyncio.to_thread(cluster.stop, leader), "it ended by itself"
    results = await asyncio.gather(*sale)
    assert "handed leadership over" in cluster.log_tail(leader)
    await asyncio.to_thread(cluster.start, leader)
    await asyncio.to_thread(cluster.wait_serving)
    await assert_sold_exactly(cluster, list(results), units=10)


async def test_the_same_id_through_every_node_is_one_order(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10}, receipt_id="delivery")

    async def order(node: str) -> CommandResult:
        async with only(cluster, node) as buyer:
            return await buyer.place_order({"vase": 2}, reservation_id="the-order")

    results = await asyncio.gather(*(order(node) for node in cluster.nodes * 5))
    assert sorted(result.replayed for result in results) == [False] + [True] * (len(results) - 1)
    assert len({(result.outcome, result.token, result.units, result.result_index) for result in results}) == 1
    async with client(cluster) as reader:
        level = await reader.get_stock("vase")
    assert (level.available, level.sold) == (8, 2)


async def test_the_wall_clock_of_one_node_moved_by_a_day_changes_nothing(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster, 3, hold_ticks=50)
    leader = await leader_of(cluster)
    await asyncio.to_thread(cluster.kill, leader)
    await asyncio.to_thread(cluster.start, leader, {"PYTHONPATH": str(CRAZY_CLOCK)})
    await asyncio.to_thread(cluster.wait_serving)
    assert await asyncio.to_thread(cluster.transfer, leader) == leader
    assert_clock_is_crazy(cluster, leader)
    await assert_sold_exactly(cluster, await sell(cluster, buyers=15, units=10), units=10)
    async with client(cluster) as buyer:
        await buyer.receive_stock({"mug": 1}, receipt_id="mugs")
        held = await buyer.reserve({"mug": 1}, hold_ticks=10_000)
        short = await buyer.reserve({"mug": 1}, hold_ticks=1)
    assert held.outcome is Outcome.RESERVED, "a clock a day late did not let it expire"
    assert short.outcome is Outcome.OUT_OF_STOCK
    assert held.expires_at_tick > 10_000


def assert_clock_is_crazy(cluster: LocalCluster, node: str) -> None:
    """The node really runs with the shifted clock."""
    environment = Path(f"/proc/{cluster.running()[node]}/environ").read_bytes().split(b"\0")
    assert b"PYTHONPATH=" + os.fsencode(CRAZY_CLOCK) in environment
