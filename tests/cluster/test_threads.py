"""A node's threads take over from each other wherever they can, and nothing that they share comes to harm."""

import asyncio
import itertools

from support.real_cluster import assert_nodes_agree, client, is_down

from lastunit_client import AsyncInventoryClient, Outcome
from lastunit_node.cli.local_cluster import LocalCluster

BUYERS = 16
PURCHASES = 300


async def purchase(buyer: AsyncInventoryClient) -> None:
    """Answers of all kinds: with ranges of units, with shortages, read off rows, and of queries beside them."""
    sold = await buyer.place_order({"mug": 1, "vase": 2})
    assert sold.outcome is Outcome.ORDER_PLACED
    held = await buyer.reserve({"mug": 2, "vase": 1})
    assert held.token is not None
    confirmed = await buyer.confirm(held.request_id, held.token, {"mug": 1})
    assert confirmed.outcome is Outcome.CONFIRMED
    returned = await buyer.return_units(sold.request_id, sold.units[1:])
    assert returned.outcome is Outcome.RETURNED
    again = await buyer.place_order({"mug": 1, "vase": 2}, reservation_id=sold.request_id)
    assert (again.units, again.replayed) == (sold.units, True)
    assert (await buyer.place_order({"bowl": 2})).outcome is Outcome.OUT_OF_STOCK
    assert (await buyer.get_reservation(held.request_id)).units == confirmed.units


async def test_threads_that_take_over_at_any_moment_spoil_nothing(handing_over: LocalCluster) -> None:
    cluster = handing_over
    async with client(cluster) as seller:
        await seller.receive_stock({"mug": 1_000_000, "vase": 1_000_000, "bowl": 1})
    numbers = itertools.count()

    async def buy(first: int) -> None:
        async with client(cluster, first=first, timeout=30.0) as buyer:
            while next(numbers) < PURCHASES:
                await purchase(buyer)

    async with asyncio.TaskGroup() as buyers:
        for number in range(BUYERS):
            buyers.create_task(buy(number))
    assert not [node for node in cluster.nodes if is_down(cluster, node)]
    await assert_nodes_agree(cluster)
