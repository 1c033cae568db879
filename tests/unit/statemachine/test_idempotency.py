"""Ids: the same command again gets its first answer, whatever has happened since; another one is refused."""

import pytest

from lastunit_node.statemachine.commands import AdjustStock, Line, PlaceOrder, ReceiveStock, Reserve, ReturnUnits
from lastunit_node.statemachine.results import Outcome, ReservationState

from .shop import Shop, ranges, units


def test_a_repeated_order_gets_the_first_answer_and_nothing_more(shop: Shop) -> None:
    first = shop.order("o1", vase=2)
    shop.order("o2", vase=1)

    again = shop.order("o1", vase=2)

    assert again == first._replace(replayed=True, reservation=shop.reservation("o1"))
    assert shop.level().sold == 3


def test_a_replay_shows_the_present_state_beside_the_first_answer(shop: Shop) -> None:
    first = shop.reserve("r1", vase=2)
    assert first.token is not None
    shop.release("r1", first.token)

    again = shop.reserve("r1", vase=2)

    assert again[:6] == first[:6]
    assert again.replayed
    assert again.reservation is not None
    assert again.reservation.state is ReservationState.RELEASED
    assert again.reservation.units == ()


def test_a_repeated_order_names_the_units_it_took_though_some_were_returned(shop: Shop) -> None:
    first = shop.order("o1", vase=3)
    shop.give_back("back", "o1", "vase", (2, 2))
    shop.give_back("back-2", "o1", "vase", (3, 3))

    again = shop.order("o1", vase=3)

    assert first.units == units("vase", (1, 3))
    assert again == first._replace(replayed=True, reservation=shop.reservation("o1"))
    assert shop.reservation("o1").units == units("vase", (1, 1))


def test_a_repeated_reserve_names_the_expiry_it_had_though_it_was_extended(shop: Shop) -> None:
    first = shop.reserve("r1", vase=2)
    assert first.token is not None
    shop.extend("r1", first.token, until_tick=6)
    shop.extend("r1", first.token, until_tick=8)

    again = shop.reserve("r1", vase=2)

    assert first.expires_at_tick == 4
    assert again == first._replace(replayed=True, reservation=shop.reservation("r1"))
    assert shop.reservation("r1").expires_at_tick == 8


def test_two_copies_in_one_entry_take_units_once(shop: Shop) -> None:
    order = PlaceOrder("o1", (Line("vase", 2),))

    first, second = shop.apply(order, order)

    assert second == first._replace(replayed=True, reservation=shop.reservation("o1"))
    assert shop.level().sold == 2


def test_the_same_lines_in_another_order_are_the_same_body(shop: Shop) -> None:
    shop.do(PlaceOrder("o1", (Line("vase", 1), Line("bowl", 1), Line("vase", 2))))

    assert shop.do(PlaceOrder("o1", (Line("bowl", 1), Line("vase", 3)))).replayed


@pytest.mark.parametrize(
    "other",
    [
        PlaceOrder("o1", (Line("vase", 3),)),
        PlaceOrder("o1", (Line("bowl", 2),)),
        Reserve("o1", (Line("vase", 2),), 0),
    ],
)
def test_the_same_id_with_another_body_is_refused(shop: Shop, other: PlaceOrder | Reserve) -> None:
    shop.order("o1", vase=2)

    result = shop.do(other)

    assert result.outcome is Outcome.ID_REUSED
    assert not result.replayed
    assert result.reservation == shop.reservation("o1")
    assert shop.level().sold == 2


def test_the_length_of_a_hold_is_part_of_its_body(shop: Shop) -> None:
    shop.reserve("r1", hold_ticks=2, vase=1)

    assert shop.reserve("r1", hold_ticks=3, vase=1).outcome is Outcome.ID_REUSED


def test_orders_and_holds_of_as_many_units_have_bodies_of_their_own(shop: Shop) -> None:
    """One after the other: the body of a sku's last order is kept for the next that is the same."""
    shop.order("o1", vase=1)
    shop.hold("r1", vase=1)
    shop.hold("r2", hold_ticks=2, vase=1)

    assert shop.reserve("r1", vase=1).outcome is Outcome.RESERVED
    assert shop.reserve("r2", hold_ticks=2, vase=1).outcome is Outcome.RESERVED
    assert shop.order("r1", vase=1).outcome is Outcome.ID_REUSED


def test_out_of_stock_is_remembered_though_stock_comes(shop: Shop) -> None:
    first = shop.order("o1", vase=11)
    shop.receive("more", vase=10)

    assert shop.order("o1", vase=11) == first._replace(replayed=True)
    assert shop.order("o1-second-try", vase=11).outcome is Outcome.ORDER_PLACED


def test_unknown_sku_is_remembered_though_the_sku_comes(shop: Shop) -> None:
    first = shop.reserve("r1", teapot=1)
    shop.receive("more", teapot=10)

    assert shop.reserve("r1", teapot=1) == first._replace(replayed=True)


def test_the_id_of_a_refused_order_is_not_free_for_another(shop: Shop) -> None:
    shop.order("o1", vase=11)

    result = shop.order("o1", vase=1)

    assert result.outcome is Outcome.ID_REUSED
    assert result.reservation is None


def test_a_receipt_adds_its_units_once(shop: Shop) -> None:
    first = shop.receive("truck", vase=5)

    assert shop.receive("truck", vase=5) == first._replace(replayed=True)
    assert shop.do(ReceiveStock("truck", (Line("vase", 2), Line("vase", 3)))).replayed
    assert shop.receive("truck", vase=6).outcome is Outcome.ID_REUSED
    assert shop.level().received == 15


def test_an_adjustment_removes_its_units_once(shop: Shop) -> None:
    first = shop.remove("broken", "vase", 2)

    assert shop.remove("broken", "vase", 2) == first._replace(replayed=True)
    assert shop.remove("broken", "vase", 2, reason="lost").outcome is Outcome.ID_REUSED
    assert shop.level().removed == 2


def test_named_ranges_are_compared_as_the_units_they_name(shop: Shop) -> None:
    shop.remove_units("broken", "vase", (3, 4), (1, 2))

    assert shop.remove_units("broken", "vase", (1, 4)).replayed
    assert shop.do(AdjustStock("broken", "vase", 4, (), "damaged")).outcome is Outcome.ID_REUSED


def test_a_refused_adjustment_is_remembered(shop: Shop) -> None:
    first = shop.remove("broken", "vase", 11)
    shop.receive("more", vase=10)

    assert first.outcome is Outcome.OUT_OF_STOCK
    assert shop.remove("broken", "vase", 11) == first._replace(replayed=True)


def test_a_return_puts_units_back_once(shop: Shop) -> None:
    shop.order("o1", vase=4)
    first = shop.give_back("back", "o1", "vase", (1, 2))
    shop.order("o2", vase=2)

    again = shop.do(ReturnUnits("back", "o1", (*units("vase", (2, 2)), *units("vase", (1, 1)))))

    assert again == first._replace(replayed=True)
    assert shop.level().sold == 4
    assert shop.give_back("back", "o1", "vase", (3, 3)).outcome is Outcome.ID_REUSED


def test_a_return_from_another_order_is_another_body(shop: Shop) -> None:
    shop.order("o1", vase=1)
    shop.order("o2", vase=1)
    shop.give_back("back", "o1", "vase", (1, 1))

    result = shop.give_back("back", "o2", "vase", (1, 1))

    assert (result.outcome, result.reservation) == (Outcome.ID_REUSED, shop.reservation("o2"))


def test_the_replay_of_a_return_shows_the_reservation_as_it_is_now(shop: Shop) -> None:
    shop.order("o1", vase=4)
    shop.give_back("back", "o1", "vase", (1, 2))
    shop.give_back("back-2", "o1", "vase", (4, 4))

    again = shop.give_back("back", "o1", "vase", (1, 2))

    assert again.reservation is not None
    assert again.reservation.units == units("vase", (3, 3))


def test_a_refused_return_is_remembered(shop: Shop) -> None:
    token = shop.hold("r1", vase=1)
    first = shop.give_back("back", "r1", "vase", (1, 1))
    shop.confirm("r1", token)

    again = shop.give_back("back", "r1", "vase", (1, 1))

    assert (again.outcome, again.index, again.replayed) == (Outcome.NOT_CONFIRMED, first.index, True)


def test_receipts_adjustments_returns_and_reservations_have_ids_of_their_own(shop: Shop) -> None:
    assert shop.receive("x", vase=1).outcome is Outcome.RECEIVED
    assert shop.remove("x", "vase", 1).outcome is Outcome.ADJUSTED
    assert shop.order("x", vase=1).outcome is Outcome.ORDER_PLACED
    assert shop.do(ReturnUnits("x", "x", units("vase", (2, 2)))).outcome is Outcome.RETURNED
    assert shop.level().available == 10


def test_a_malformed_command_is_not_remembered(shop: Shop) -> None:
    assert shop.order("o1", vase=0).outcome is Outcome.MALFORMED
    assert shop.order("o1", vase=1).units == (units("vase", (1, 1)))
    assert ranges((1, 1)) == shop.reservation("o1").units[0].ranges
