"""The two questions that the Go kata left open, and the sale that oversold."""

from lastunit_node.statemachine.results import Outcome, ReservationState

from .shop import Shop, units


def test_a_hold_nobody_confirms(shop: Shop) -> None:
    """'How should the system handle reservations that are never confirmed or released?' The clock frees them."""
    forgotten = shop.hold("left-the-shop", vase=10)
    assert shop.order("o1", vase=1).outcome is Outcome.OUT_OF_STOCK

    shop.tick(4)

    assert shop.order("o2", vase=10).units == units("vase", (1, 10))
    assert shop.confirm("left-the-shop", forgotten).outcome is Outcome.EXPIRED
    assert shop.level().sold == 10


def test_a_release_that_is_lost_after_a_confirm(shop: Shop) -> None:
    """'What happens if the confirmation succeeds but the release call fails?' Nothing is stuck, nothing is sold twice.

    The buyer's confirm was applied, its answer was lost, so the buyer releases; that call is lost too, and tried again.
    """
    token = shop.hold("r1", vase=1)
    shop.confirm("r1", token)

    late_release = shop.release("r1", token)

    assert late_release.outcome is Outcome.ALREADY_CONFIRMED
    assert late_release.reservation is not None
    assert late_release.reservation.state is ReservationState.CONFIRMED
    assert shop.confirm("r1", token).replayed
    assert (shop.level().available, shop.level().held, shop.level().sold) == (9, 0, 1)


def test_a_hold_whose_confirm_and_release_are_both_lost(shop: Shop) -> None:
    shop.hold("r1", vase=1)
    shop.tick(4)

    assert (shop.level().available, shop.level().held, shop.level().sold) == (10, 0, 0)


def test_fifteen_orders_for_ten_vases(shop: Shop) -> None:
    results = [shop.order(f"o{number}", vase=1) for number in range(15)]

    placed = [result for result in results if result.outcome is Outcome.ORDER_PLACED]
    assert len(placed) == 10
    assert len({result.units for result in placed}) == 10
    assert {result.outcome for result in results[10:]} == {Outcome.OUT_OF_STOCK}


def test_a_zombie_whose_vase_was_sold_on(shop: Shop) -> None:
    zombie = shop.hold("paused", vase=10)
    shop.tick(4)
    buyer = shop.hold("awake", vase=10)

    assert zombie < buyer
    assert shop.confirm("paused", zombie).outcome is Outcome.EXPIRED
    assert shop.confirm("awake", buyer).outcome is Outcome.CONFIRMED
