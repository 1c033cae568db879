"""Release frees a hold, and closes an id that has none for good."""

from lastunit_node.statemachine.commands import Line, PlaceOrder, Release
from lastunit_node.statemachine.results import Outcome, Reservation, ReservationState

from .shop import ELSEWHERE, Shop, units


def test_a_release_frees_every_unit(shop: Shop) -> None:
    token = shop.hold("r1", vase=2, bowl=1)

    result = shop.release("r1", token)

    assert result.outcome is Outcome.RELEASED
    assert result.units == ()
    assert result.reservation == shop.reservation("r1")
    assert shop.reservation("r1").state is ReservationState.RELEASED
    assert shop.reservation("r1").units == ()
    assert shop.available("vase") == 10
    assert shop.available("bowl") == 5


def test_freed_units_join_their_neighbours(shop: Shop) -> None:
    tokens = [shop.hold(f"r{number}", vase=2) for number in range(5)]
    for number in (0, 4, 2, 1, 3):
        shop.release(f"r{number}", tokens[number])

    assert shop.rows("SELECT first, last FROM stock WHERE sku = 'vase'") == [(1, 10)]
    assert shop.rows("SELECT * FROM available_units") == []


def test_units_may_be_taken_freed_and_taken_in_one_entry(shop: Shop) -> None:
    token = shop.hold("r1", vase=2)

    taken, _, again = shop.apply(
        PlaceOrder("o1", (Line("vase", 1),)),
        Release("r1", token),
        PlaceOrder("o2", (Line("vase", 3),)),
    )

    assert taken.units == units("vase", (3, 3))
    assert again.units == units("vase", (1, 2), (4, 4))


def test_the_same_release_again_is_a_replay(shop: Shop) -> None:
    token = shop.hold("r1", vase=2)
    first = shop.release("r1", token)

    assert shop.release("r1", token) == first._replace(replayed=True)


def test_another_release_of_a_released_hold_is_refused(shop: Shop) -> None:
    token = shop.hold("r1", vase=2)
    shop.release("r1", token)

    assert shop.release("r1").outcome is Outcome.ALREADY_RELEASED
    assert shop.release("r1", ELSEWHERE).outcome is Outcome.ALREADY_RELEASED


def test_a_release_with_another_token_or_none_is_stale(shop: Shop) -> None:
    shop.hold("r1", vase=2)

    assert shop.release("r1", ELSEWHERE).outcome is Outcome.STALE_TOKEN
    assert shop.release("r1", None).outcome is Outcome.STALE_TOKEN
    assert shop.level().held == 2


def test_a_sold_order_cannot_be_released(shop: Shop) -> None:
    token = shop.order("o1", vase=2).token

    result = shop.release("o1", token)

    assert result.outcome is Outcome.ALREADY_CONFIRMED
    assert result.reservation == shop.reservation("o1")
    assert shop.level().sold == 2


def test_a_release_of_an_unknown_id_is_remembered_as_released(shop: Shop) -> None:
    shop.tick()

    result = shop.release("gave-up")

    assert result.outcome is Outcome.RELEASED
    assert result.reservation == Reservation("gave-up", ReservationState.RELEASED, None, 1, 0, (), ())
    assert shop.reservation("gave-up") == result.reservation


def test_the_release_of_an_unknown_id_may_be_repeated(shop: Shop) -> None:
    first = shop.release("gave-up")

    assert shop.release("gave-up") == first._replace(replayed=True)
    assert shop.release("gave-up", ELSEWHERE).outcome is Outcome.ALREADY_RELEASED


def test_a_call_that_was_given_up_and_released_cannot_come_late(shop: Shop) -> None:
    released = shop.release("gave-up").reservation

    assert shop.order("gave-up", vase=1) == shop.reserve("gave-up", vase=1)._replace(
        index=shop.machine.applied_index - 1
    )
    late = shop.order("gave-up", vase=1)
    assert (late.outcome, late.reservation) == (Outcome.ALREADY_RELEASED, released)
    assert shop.available() == 10


def test_a_refused_order_may_be_released_and_still_gives_its_first_answer(shop: Shop) -> None:
    refusal = shop.order("o1", vase=11)

    released = shop.release("o1")
    again = shop.order("o1", vase=11)

    assert released.outcome is Outcome.RELEASED
    assert released.reservation == Reservation("o1", ReservationState.RELEASED, None, 0, 0, (Line("vase", 11),), ())
    assert again == refusal._replace(replayed=True, reservation=released.reservation)
    assert shop.release("o1") == released._replace(replayed=True)
    assert shop.order("o1", vase=1).outcome is Outcome.ID_REUSED
