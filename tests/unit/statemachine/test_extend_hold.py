"""ExtendHold moves an expiry later, never earlier, and no further than the cap after the hold's creation."""

import pytest

from lastunit_node.statemachine.results import Outcome

from .shop import ELSEWHERE, Shop


def test_a_hold_expires_at_the_tick_it_was_extended_to(shop: Shop) -> None:
    token = shop.hold("r1", vase=1)

    result = shop.extend("r1", token, until_tick=8)

    assert (result.outcome, result.expires_at_tick) == (Outcome.EXTENDED, 8)
    assert result.reservation == shop.reservation("r1")
    shop.tick(7)
    assert shop.level().held == 1
    shop.tick()
    assert shop.level().held == 0


def test_an_extension_never_shortens_a_hold(shop: Shop) -> None:
    token = shop.hold("r1", vase=1)

    assert shop.extend("r1", token, until_tick=2).expires_at_tick == 4
    assert shop.reservation("r1").expires_at_tick == 4


def test_an_extension_ends_at_the_cap_after_creation(shop: Shop) -> None:
    shop.tick(2)
    token = shop.hold("r1", vase=1)
    shop.tick(3)

    assert shop.extend("r1", token, until_tick=1_000).expires_at_tick == 12


def test_a_hold_that_is_as_long_as_the_cap_keeps_its_expiry(shop: Shop) -> None:
    token = shop.hold("r1", hold_ticks=10, vase=1)

    assert shop.extend("r1", token, until_tick=1_000).expires_at_tick == 11


def test_an_extension_may_be_repeated_and_keeps_the_token(shop: Shop) -> None:
    token = shop.hold("r1", vase=1)
    first = shop.extend("r1", token, until_tick=8)

    again = shop.extend("r1", token, until_tick=8)

    assert again == first._replace(index=first.index + 1)
    assert shop.reservation("r1").token == token
    assert shop.confirm("r1", token).outcome is Outcome.CONFIRMED


def test_an_extended_hold_is_found_by_an_order_that_falls_short(shop: Shop) -> None:
    token = shop.hold("r1", hold_ticks=1, vase=10)
    shop.extend("r1", token, until_tick=6)
    shop.tick(3)
    assert shop.order("o1", vase=1).outcome is Outcome.OUT_OF_STOCK
    shop.tick(3)
    assert shop.order("o2", vase=1).outcome is Outcome.ORDER_PLACED


def test_an_unknown_reservation_cannot_be_extended(shop: Shop) -> None:
    assert shop.extend("nobody", ELSEWHERE, 8).outcome is Outcome.UNKNOWN_RESERVATION


def test_a_refused_order_cannot_be_extended(shop: Shop) -> None:
    shop.reserve("r1", vase=11)

    assert shop.extend("r1", ELSEWHERE, 8).outcome is Outcome.UNKNOWN_RESERVATION


def test_an_extension_with_another_token_is_stale(shop: Shop) -> None:
    shop.hold("r1", vase=1)

    assert shop.extend("r1", ELSEWHERE, 8).outcome is Outcome.STALE_TOKEN


@pytest.mark.parametrize(
    ("close", "outcome"),
    [
        ("confirm", Outcome.ALREADY_CONFIRMED),
        ("release", Outcome.ALREADY_RELEASED),
        ("expire", Outcome.EXPIRED),
    ],
)
def test_a_closed_hold_cannot_be_extended(shop: Shop, close: str, outcome: Outcome) -> None:
    token = shop.hold("r1", vase=1)
    if close == "confirm":
        shop.confirm("r1", token)
    elif close == "release":
        shop.release("r1", token)
    else:
        shop.tick(4)

    result = shop.extend("r1", token, 8)

    assert (result.outcome, result.reservation) == (outcome, shop.reservation("r1"))
