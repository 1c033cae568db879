"""ReceiveStock, AdjustStock and ReturnUnits: how units come, go and come back."""

import pytest

from lastunit_node.statemachine.commands import Line, ReceiveStock, ReturnUnits, UnitLine
from lastunit_node.statemachine.results import Outcome, Shortage, StockLevel

from .shop import Shop, ranges, units


def test_units_are_numbered_from_one_per_sku(shop: Shop) -> None:
    result = shop.receive("more", plate=3, vase=2)

    assert result.outcome is Outcome.RECEIVED
    assert result.units == (UnitLine("plate", ranges((1, 3))), UnitLine("vase", ranges((11, 12))))
    assert shop.level("plate") == StockLevel("plate", received=3, available=3, held=0, sold=0, removed=0)
    assert shop.level("vase").received == 12


def test_lines_of_one_sku_in_a_receipt_are_summed(shop: Shop) -> None:
    result = shop.do(ReceiveStock("more", (Line("vase", 2), Line("vase", 3))))

    assert result.units == units("vase", (11, 15))


def test_new_units_are_ordered_after_the_old_ones(shop: Shop) -> None:
    shop.order("o1", vase=10)
    shop.receive("more", vase=2)

    assert shop.order("o2", vase=2).units == units("vase", (11, 12))


def test_a_quantity_is_removed_from_the_lowest_numbers(shop: Shop) -> None:
    shop.order("o1", vase=1)

    result = shop.remove("broken", "vase", 2)

    assert (result.outcome, result.units) == (Outcome.ADJUSTED, units("vase", (2, 3)))
    assert shop.level() == StockLevel("vase", received=10, available=7, held=0, sold=1, removed=2)
    assert shop.order("o2", vase=1).units == units("vase", (4, 4))


def test_named_units_are_removed(shop: Shop) -> None:
    result = shop.remove_units("broken", "vase", (9, 10), (3, 4))

    assert (result.outcome, result.units) == (Outcome.ADJUSTED, units("vase", (3, 4), (9, 10)))
    assert shop.order("o1", vase=6).units == units("vase", (1, 2), (5, 8))
    assert shop.order("o2", vase=1).outcome is Outcome.OUT_OF_STOCK


def test_every_removed_range_names_its_adjustment(shop: Shop) -> None:
    shop.remove_units("broken", "vase", (2, 3))
    shop.remove("lost", "vase", 2)

    assert shop.rows("SELECT * FROM removed_units ORDER BY first") == [
        ("vase", 1, 1, "lost"),
        ("vase", 2, 3, "broken"),
        ("vase", 4, 4, "lost"),
    ]


def test_more_than_is_available_cannot_be_removed(shop: Shop) -> None:
    shop.hold("r1", vase=4)

    result = shop.remove("broken", "vase", 7)

    assert result.outcome is Outcome.OUT_OF_STOCK
    assert result.shortages == (Shortage("vase", 7, 6),)
    assert shop.level().removed == 0


@pytest.mark.parametrize("named", [(1, 1), (2, 3), (5, 6), (10, 11), (11, 11), (1, 10)])
def test_units_that_are_held_sold_removed_or_never_came_cannot_be_removed(shop: Shop, named: tuple[int, int]) -> None:
    shop.order("o1", vase=1)
    shop.hold("r1", vase=1)
    shop.remove_units("broken", "vase", (6, 6))

    result = shop.remove_units("lost", "vase", (8, 8), named)

    assert result.outcome is Outcome.UNITS_NOT_AVAILABLE
    assert shop.level().removed == 1


def test_an_unknown_sku_cannot_be_adjusted(shop: Shop) -> None:
    assert shop.remove("lost", "teapot", 1).outcome is Outcome.UNKNOWN_SKU
    assert shop.remove_units("lost-too", "teapot", (1, 1)).outcome is Outcome.UNKNOWN_SKU


def test_returned_units_are_available_again_and_no_longer_the_orders(shop: Shop) -> None:
    shop.order("o1", vase=4)

    result = shop.give_back("back", "o1", "vase", (2, 3))

    assert (result.outcome, result.units) == (Outcome.RETURNED, units("vase", (2, 3)))
    assert result.reservation == shop.reservation("o1")
    assert shop.reservation("o1").units == units("vase", (1, 1), (4, 4))
    assert shop.level() == StockLevel("vase", received=10, available=8, held=0, sold=2, removed=0)
    assert shop.order("o2", vase=2).units == units("vase", (2, 3))


def test_an_order_may_return_its_units_bit_by_bit(shop: Shop) -> None:
    shop.order("o1", vase=3, bowl=1)
    shop.give_back("back-1", "o1", "vase", (2, 2))
    shop.give_back("back-2", "o1", "vase", (1, 1), (3, 3))
    shop.give_back("back-3", "o1", "bowl", (1, 1))

    assert shop.reservation("o1").units == ()
    assert shop.available("vase") == 10


def test_a_return_of_several_skus_is_all_or_nothing(shop: Shop) -> None:
    shop.order("o1", vase=2, bowl=1)

    result = shop.do(ReturnUnits("back", "o1", (*units("vase", (1, 2)), *units("bowl", (2, 2)))))

    assert result.outcome is Outcome.UNITS_NOT_SOLD
    assert shop.level().sold == 2


@pytest.mark.parametrize("named", [(3, 3), (2, 3), (99, 99)])
def test_units_that_were_not_sold_to_it_cannot_be_returned(shop: Shop, named: tuple[int, int]) -> None:
    shop.order("o1", vase=2)
    shop.order("o2", vase=2)

    result = shop.give_back("back", "o1", "vase", named)

    assert result.outcome is Outcome.UNITS_NOT_SOLD
    assert result.reservation == shop.reservation("o1")


def test_units_cannot_be_returned_twice(shop: Shop) -> None:
    shop.order("o1", vase=2)
    shop.give_back("back", "o1", "vase", (1, 1))

    assert shop.give_back("back-again", "o1", "vase", (1, 1)).outcome is Outcome.UNITS_NOT_SOLD


def test_an_unknown_reservation_returns_nothing(shop: Shop) -> None:
    result = shop.give_back("back", "nobody", "vase", (1, 1))

    assert (result.outcome, result.reservation) == (Outcome.UNKNOWN_RESERVATION, None)


def test_a_refused_order_returns_nothing(shop: Shop) -> None:
    shop.order("o1", vase=11)

    assert shop.give_back("back", "o1", "vase", (1, 1)).outcome is Outcome.UNKNOWN_RESERVATION


@pytest.mark.parametrize("closed", ["held", "released", "expired"])
def test_what_was_never_confirmed_returns_nothing(shop: Shop, closed: str) -> None:
    token = shop.hold("r1", vase=1)
    if closed == "released":
        shop.release("r1", token)
    elif closed == "expired":
        shop.tick(4)

    result = shop.give_back("back", "r1", "vase", (1, 1))

    assert (result.outcome, result.reservation) == (Outcome.NOT_CONFIRMED, shop.reservation("r1"))
