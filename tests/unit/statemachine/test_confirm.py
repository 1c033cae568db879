"""Confirm sells what is held: all, or the lowest-numbered so many; whatever else, by name."""

import pytest

from lastunit_node.statemachine.commands import Confirm, FencingToken, Line, UnitLine
from lastunit_node.statemachine.results import Outcome, ReservationState

from .shop import ELSEWHERE, Shop, ranges, units


def test_a_confirm_sells_every_unit_of_the_hold(shop: Shop) -> None:
    token = shop.hold("r1", vase=2, bowl=1)

    result = shop.confirm("r1", token)

    assert result.outcome is Outcome.CONFIRMED
    assert result.units == (UnitLine("bowl", ranges((1, 1))), UnitLine("vase", ranges((1, 2))))
    assert (shop.level().held, shop.level().sold) == (0, 2)
    assert shop.reservation("r1").state is ReservationState.CONFIRMED


def test_a_partial_confirm_keeps_the_lowest_numbers_and_frees_the_others(shop: Shop) -> None:
    token = shop.hold("r1", vase=5)

    result = shop.confirm("r1", token, vase=2)

    assert result.units == units("vase", (1, 2))
    assert shop.reservation("r1").units == units("vase", (1, 2))
    assert shop.reservation("r1").lines == (Line("vase", 5),)
    assert (shop.level().available, shop.level().held, shop.level().sold) == (8, 0, 2)
    assert shop.order("o1", vase=1).units == units("vase", (3, 3))


def test_a_partial_confirm_frees_a_sku_that_it_does_not_name(shop: Shop) -> None:
    token = shop.hold("r1", vase=2, bowl=2)

    result = shop.confirm("r1", token, bowl=1)

    assert result.units == units("bowl", (1, 1))
    assert shop.available("vase") == 10
    assert shop.available("bowl") == 4


def test_a_partial_confirm_keeps_the_lowest_numbers_across_ranges(shop: Shop) -> None:
    token = shop.hold("r1", vase=2)
    shop.order("o1", vase=2)
    shop.release("r1", token)
    token = shop.hold("r2", vase=4)
    assert shop.reservation("r2").units == units("vase", (1, 2), (5, 6))

    assert shop.confirm("r2", token, vase=3).units == units("vase", (1, 2), (5, 5))


@pytest.mark.parametrize("quantities", [{"vase": 3}, {"bowl": 1}, {"vase": 1, "bowl": 1}, {"teapot": 1}])
def test_a_confirm_of_more_than_is_held_is_refused_and_changes_nothing(shop: Shop, quantities: dict[str, int]) -> None:
    token = shop.hold("r1", vase=2)

    result = shop.confirm("r1", token, **quantities)

    assert result.outcome is Outcome.EXCEEDS_HOLD
    assert result.reservation == shop.reservation("r1")
    assert shop.level().held == 2
    assert shop.confirm("r1", token).outcome is Outcome.CONFIRMED


def test_the_lines_of_a_confirm_are_summed(shop: Shop) -> None:
    token = shop.hold("r1", vase=3)

    assert shop.do(Confirm("r1", token, (Line("vase", 2), Line("vase", 2)))).outcome is Outcome.EXCEEDS_HOLD
    assert shop.do(Confirm("r1", token, (Line("vase", 1), Line("vase", 1)))).units == units("vase", (1, 2))


def test_a_confirm_of_an_unknown_reservation_is_refused(shop: Shop) -> None:
    result = shop.confirm("nobody", ELSEWHERE)

    assert result.outcome is Outcome.UNKNOWN_RESERVATION
    assert result.reservation is None


def test_a_refused_order_cannot_be_confirmed(shop: Shop) -> None:
    shop.reserve("r1", vase=11)

    assert shop.confirm("r1", ELSEWHERE).outcome is Outcome.UNKNOWN_RESERVATION


@pytest.mark.parametrize("part", FencingToken._fields)
def test_a_confirm_with_another_token_is_stale(shop: Shop, part: str) -> None:
    token = shop.hold("r1", vase=2)

    result = shop.confirm("r1", token._replace(**{part: getattr(token, part) + 1}))

    assert result.outcome is Outcome.STALE_TOKEN
    assert result.reservation == shop.reservation("r1")
    assert shop.level().held == 2


def test_a_zombie_of_a_forgotten_hold_does_not_confirm_the_next_one_under_its_id(shop: Shop) -> None:
    zombie = shop.hold("r1", vase=1)
    shop.release("r1", zombie)
    shop.tick(5)
    assert shop.view.reservation("r1") is None
    shop.hold("r1", vase=1)

    assert shop.confirm("r1", zombie).outcome is Outcome.STALE_TOKEN


def test_the_same_confirm_again_is_a_replay(shop: Shop) -> None:
    token = shop.hold("r1", vase=5)
    first = shop.confirm("r1", token, vase=2)

    again = first._replace(replayed=True, reservation=shop.reservation("r1"))
    assert shop.confirm("r1", token, vase=2) == again
    assert shop.level().sold == 2


def test_a_replayed_confirm_shows_what_was_returned_since(shop: Shop) -> None:
    token = shop.hold("r1", vase=3)
    first = shop.confirm("r1", token)
    shop.give_back("back", "r1", "vase", (1, 1))
    shop.give_back("back-too", "r1", "vase", (3, 3))

    again = shop.confirm("r1", token)

    assert again.units == first.units
    assert again.reservation is not None
    assert again.reservation.units == units("vase", (2, 2))


def test_to_confirm_all_units_by_name_is_the_same_call_as_to_name_none(shop: Shop) -> None:
    token = shop.hold("r1", vase=2, bowl=1)
    shop.confirm("r1", token)

    assert shop.confirm("r1", token, bowl=1, vase=2).replayed


@pytest.mark.parametrize("other", [{"vase": 1}, {"vase": 9}])
def test_another_confirm_of_a_confirmed_reservation_is_refused(shop: Shop, other: dict[str, int]) -> None:
    token = shop.hold("r1", vase=2)
    shop.confirm("r1", token)

    assert shop.confirm("r1", token, **other).outcome is Outcome.ALREADY_CONFIRMED


def test_a_confirm_with_another_token_of_a_confirmed_reservation_is_refused(shop: Shop) -> None:
    shop.confirm("r1", shop.hold("r1", vase=2))

    assert shop.confirm("r1", ELSEWHERE).outcome is Outcome.ALREADY_CONFIRMED


def test_a_placed_order_is_confirmed_already(shop: Shop) -> None:
    token = shop.order("o1", vase=2).token
    assert token is not None

    assert shop.confirm("o1", token).outcome is Outcome.ALREADY_CONFIRMED


def test_a_released_hold_cannot_be_confirmed(shop: Shop) -> None:
    token = shop.hold("r1", vase=2)
    shop.release("r1", token)

    result = shop.confirm("r1", token)

    assert result.outcome is Outcome.ALREADY_RELEASED
    assert result.reservation == shop.reservation("r1")


def test_an_id_that_was_cancelled_before_use_cannot_be_confirmed(shop: Shop) -> None:
    shop.release("r1")

    assert shop.confirm("r1", FencingToken(1, 1, 0)).outcome is Outcome.ALREADY_RELEASED
