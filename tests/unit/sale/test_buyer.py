"""Buyers: they end with a vase, without one for certain, or with the call that had no answer."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from lastunit_client import Outcome, ReservationState
from lastunit_node.cli.sale.buyer import Buyer
from lastunit_node.cli.sale.plan import SKU, BuyerPlan, Choices, Options, SalePlan, plan_sale
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import BuyerReport, Ending

from .doubles import FakeInventory

Buy = Callable[..., Coroutine[None, None, BuyerReport]]


@pytest.fixture
def progress() -> Progress:
    return Progress()


@pytest.fixture
def buy(inventory: FakeInventory, at_once: Choices, progress: Progress) -> Buy:
    async def buy_as(name: str, card_is_good: bool = True) -> BuyerReport:
        return await Buyer(BuyerPlan(name, 0, card_is_good), "n1", inventory, at_once, progress).buy()

    return buy_as


async def test_reserves_pays_and_confirms(inventory: FakeInventory, buy: Buy, progress: Progress) -> None:
    inventory.received[SKU] = 1

    report = await buy("ann")

    assert (report.ending, report.order, report.unit) == (Ending.PLACED, "ann-1", 1)
    assert report.token == inventory.reservations["ann-1"].token
    assert inventory.reservations["ann-1"].state is ReservationState.CONFIRMED
    assert (progress.placed, progress.on_hold) == (1, 0)


async def test_a_declined_card_gives_the_vase_back(inventory: FakeInventory, buy: Buy, progress: Progress) -> None:
    inventory.received[SKU] = 1

    report = await buy("ann", card_is_good=False)

    assert (report.ending, report.order) == (Ending.PAYMENT_FAILED, "ann-1")
    assert inventory.reservations["ann-1"].state is ReservationState.RELEASED
    assert (progress.payments_failed, progress.on_hold) == (1, 0)


async def test_goes_home_when_everything_is_sold(inventory: FakeInventory, buy: Buy) -> None:
    inventory.received[SKU] = 1
    await buy("ann")

    report = await buy("bob")

    assert (report.ending, report.order, report.refusals) == (Ending.REFUSED, None, 1)


async def test_comes_back_with_a_new_id_while_a_hold_is_open(inventory: FakeInventory, buy: Buy) -> None:
    inventory.received[SKU] = 1
    held = await inventory.reserve({SKU: 1}, reservation_id="undecided")
    bob = asyncio.create_task(buy("bob"))
    while ("reserve", "bob-3") not in inventory.calls:
        await asyncio.sleep(0)
    assert held.token is not None
    await inventory.release("undecided", held.token)

    report = await bob

    assert report.ending is Ending.PLACED
    assert report.order == f"bob-{report.refusals + 1}"
    tries = [name for call, name in inventory.calls if call == "reserve" and name.startswith("bob")]
    assert len(tries) == len(set(tries))


async def test_a_hold_lost_to_the_clock_is_tried_again(inventory: FakeInventory, buy: Buy, progress: Progress) -> None:
    inventory.received[SKU] = 1
    inventory.confirms_answer = Outcome.EXPIRED

    report = await buy("ann")

    assert (report.ending, report.order, report.expired) == (Ending.PLACED, "ann-2", 1)
    assert progress.on_hold == 0


@pytest.mark.parametrize("call", ["reserve", "confirm", "get_stock"])
async def test_a_call_without_an_answer_is_reported(inventory: FakeInventory, buy: Buy, call: str) -> None:
    inventory.received[SKU] = 0 if call == "get_stock" else 1
    inventory.deaf_to = call

    report = await buy("ann")

    assert (report.ending, report.error) == (Ending.FAILED, f"{call} got no answer")


async def test_an_answer_that_cannot_be_is_reported(inventory: FakeInventory, buy: Buy) -> None:
    inventory.received[SKU] = 1
    inventory.confirms_answer = Outcome.STALE_TOKEN

    report = await buy("ann")

    assert report.ending is Ending.FAILED
    assert "confirm of ann-1 was answered STALE_TOKEN" in (report.error or "")


@pytest.mark.parametrize(("units", "orders"), [(10, 15), (3, 40), (20, 15), (1, 1)])
async def test_all_that_can_be_sold_is_sold(
    inventory: FakeInventory, at_once: Choices, progress: Progress, units: int, orders: int
) -> None:
    plan: SalePlan = plan_sale(Options(units, orders, nodes=3, kills=0, seed=5))
    inventory.received[SKU] = units

    reports = await asyncio.gather(*(Buyer(buyer, "n1", inventory, at_once, progress).buy() for buyer in plan.buyers))

    sold = [report.unit for report in reports if report.ending is Ending.PLACED]
    assert len(sold) == len(set(sold)) == plan.expected_sold
    assert not any(report.ending is Ending.FAILED for report in reports)
