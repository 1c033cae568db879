"""The naive sale: the race is in the code, so it oversells when demand exceeds supply, and only then."""

import asyncio

import pytest

from lastunit_node.cli.sale.naive import ORDER_PLACED, OUT_OF_STOCK, ApplicationServer, LaggingStore, naive_sale
from lastunit_node.cli.sale.plan import Choices, Options, plan_sale


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_fifteen_buyers_of_ten_vases_oversell(seed: int) -> None:
    numbers = await naive_sale(plan_sale(Options(units=10, orders=15, nodes=3, kills=0, seed=seed)))

    assert numbers.placed > 10
    assert numbers.oversold == numbers.placed - 10
    assert numbers.left == -numbers.oversold
    assert numbers.placed + numbers.refused == 15


async def test_with_enough_vases_there_is_nothing_to_race_for() -> None:
    numbers = await naive_sale(plan_sale(Options(units=15, orders=15, nodes=3, kills=0, seed=1)))

    assert (numbers.placed, numbers.oversold, numbers.left) == (15, 0, 0)


async def test_one_order_after_the_other_is_correct(at_once: Choices) -> None:
    server = ApplicationServer(LaggingStore({"vase": 1}, at_once))

    assert [await server.place_order("vase", 1) for _ in range(2)] == [ORDER_PLACED, OUT_OF_STOCK]


async def test_two_orders_at_once_both_see_the_last_vase(at_once: Choices) -> None:
    stock = {"vase": 1}
    store = LaggingStore(stock, at_once)

    answers = await asyncio.gather(*(ApplicationServer(store).place_order("vase", 1) for _ in range(2)))

    assert answers == [ORDER_PLACED, ORDER_PLACED]
    assert stock == {"vase": -1}
