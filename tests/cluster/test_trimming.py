"""Journals are trimmed while orders come in, and kill -9 of every node meanwhile loses nothing and repeats no index."""

import asyncio
import os

import pytest
from support.real_cluster import (
    SMALL_MARGINS,
    assert_nodes_agree,
    client,
    eventually,
    first_index,
    kill_all,
    reservations_on,
    sold_units,
)

from lastunit_client import CommandResult, FencingToken, LastUnitError, Reservation
from lastunit_node.cli.local_cluster import LocalCluster

ROUNDS = int(os.environ.get("LASTUNIT_ROUNDS", "3"))  # of kill -9 of all nodes
ORDERS = 150  # acknowledged in a round, before the kill
BUYERS = 6


class Book:
    """What buyers were told, and what each place in the log stands for: neither may ever change."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, FencingToken] = {}
        self._owners: dict[tuple[int, int], str] = {}  # by index and position
        self._terms: dict[int, int] = {}  # by index

    def acknowledge(self, result: CommandResult) -> None:
        assert result.accepted
        assert result.token is not None
        assert result.token.index == result.result_index
        self._see(result.request_id, result.token)
        self.acknowledged[result.request_id] = result.token

    def compare(self, found: dict[str, Reservation]) -> None:
        """With what a node has."""
        assert self.acknowledged.keys() <= found.keys(), self.acknowledged.keys() - found.keys()
        for name, reservation in found.items():
            assert reservation.token is not None
            assert reservation.token == self.acknowledged.get(name, reservation.token)
            self._see(name, reservation.token)
        sold_units(found)

    def _see(self, order: str, token: FencingToken) -> None:
        place = (token.index, token.position)
        assert self._owners.setdefault(place, order) == order, f"{token} was given twice"
        assert self._terms.setdefault(token.index, token.term) == token.term, f"index {token.index} was used twice"


async def buy_until_refused(cluster: LocalCluster, name: str, book: Book) -> None:
    """One buyer placing order after order until the cluster is gone."""
    async with client(cluster, first=hash(name), timeout=0.5) as buyer:
        for number in range(10_000):
            try:
                result = await buyer.place_order({"vase": 1}, reservation_id=f"{name}-{number}")
            except LastUnitError:
                return
            book.acknowledge(result)


async def buy_and_kill_all(cluster: LocalCluster, round_number: int, book: Book) -> None:
    """kill -9 of every node while orders come in."""
    goal = len(book.acknowledged) + ORDERS + 7 * round_number % 50  # not always at the same step of a trim
    buyers = [
        asyncio.create_task(buy_until_refused(cluster, f"round{round_number}-{number}", book))
        for number in range(BUYERS)
    ]
    await eventually(lambda: len(book.acknowledged) >= goal, "orders are acknowledged")
    await asyncio.to_thread(kill_all, cluster)
    await asyncio.gather(*buyers)


@pytest.mark.timeout(60 + 20 * ROUNDS)
async def test_acknowledged_orders_survive_kill_9_of_all_while_journals_are_trimmed(forgetful: LocalCluster) -> None:
    cluster, book = forgetful, Book()
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000_000}, receipt_id="delivery")
    starts = dict.fromkeys(cluster.nodes, 0)
    for round_number in range(ROUNDS):
        await buy_and_kill_all(cluster, round_number, book)
        before, starts = starts, {node: first_index(cluster, node) for node in cluster.nodes}
        assert all(starts[node] > before[node] for node in starts), f"a journal was not trimmed: {before}, {starts}"
        for node in cluster.nodes:
            await asyncio.to_thread(cluster.start, node, SMALL_MARGINS)
        await asyncio.to_thread(cluster.wait_serving)
        for node in cluster.nodes:
            book.compare(await reservations_on(cluster, node))
        await assert_nodes_agree(cluster)
    assert len(book.acknowledged) >= ROUNDS * ORDERS
