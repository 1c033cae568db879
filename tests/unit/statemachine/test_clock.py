"""The logical clock, and the parameters that are set when the cluster is born."""

import pytest

from lastunit_node.statemachine.commands import (
    Command,
    Configure,
    Confirm,
    ExtendHold,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Tick,
)
from lastunit_node.statemachine.results import Outcome, Parameters

from .shop import ELSEWHERE, Shop


def test_the_clock_starts_at_zero_and_counts_ticks(shop: Shop) -> None:
    assert shop.machine.clock == 0
    shop.tick(3)
    assert shop.machine.clock == 3
    assert shop.view.clock == 3


@pytest.mark.parametrize("clock", [0, 2, 4])
def test_a_tick_that_was_meant_for_another_moment_does_nothing(shop: Shop, clock: int) -> None:
    shop.tick(3)

    assert shop.do(Tick(clock)).outcome is Outcome.CLOCK_MISMATCH
    assert shop.machine.clock == 3


def test_a_tick_that_comes_twice_counts_once(shop: Shop) -> None:
    first, second = shop.apply(Tick(0), Tick(0))

    assert (first.outcome, second.outcome) == (Outcome.TICKED, Outcome.CLOCK_MISMATCH)
    assert shop.machine.clock == 1


def test_the_cluster_is_configured_once() -> None:
    shop = Shop(configured=False)
    assert shop.machine.parameters is None

    assert shop.do(Configure(100, 3, 10, 5, 100)).outcome is Outcome.CONFIGURED
    assert shop.do(Configure(200, 4, 11, 6, 101)).outcome is Outcome.ALREADY_CONFIGURED
    assert shop.machine.parameters == Parameters(100, 3, 10, 5, 100)


@pytest.mark.parametrize(
    "command",
    [
        PlaceOrder("o1", (Line("vase", 1),)),
        ReceiveStock("truck", (Line("vase", 1),)),
        Confirm("r1", ELSEWHERE, ()),
        Release("r1", None),
        ExtendHold("r1", ELSEWHERE, 1),
        Tick(0),
    ],
)
def test_nothing_else_is_done_before_the_cluster_is_configured(command: Command) -> None:
    shop = Shop(configured=False)

    assert shop.do(command).outcome is Outcome.NOT_CONFIGURED
    assert shop.rows("SELECT * FROM stock_changes UNION ALL SELECT 1, 1, 1, 1, 1 FROM reservations") == []


def test_a_configuration_that_comes_too_late_does_nothing(shop: Shop) -> None:
    shop.tick()

    assert shop.do(Configure(1, 1, 1, 1, 1), valid_until_tick=0).outcome is Outcome.TOO_LATE


def test_ticks_are_needed_while_a_hold_or_an_id_to_forget_waits(shop: Shop) -> None:
    assert not shop.machine.needs_ticks
    shop.hold("r1", vase=1)
    assert shop.machine.needs_ticks
    shop.tick(4)  # expired, and now to be forgotten
    assert shop.machine.needs_ticks
    shop.tick(5)
    assert not shop.machine.needs_ticks


@pytest.mark.parametrize("quantities", [{"vase": 1}, {"vase": 1, "bowl": 1}], ids=["one line", "two"])
def test_ticks_are_needed_until_the_last_hold_is_confirmed(shop: Shop, quantities: dict[str, int]) -> None:
    tokens = {name: shop.hold(name, **quantities) for name in ("r1", "r2")}
    for name, token in tokens.items():
        assert shop.machine.needs_ticks
        shop.confirm(name, token)

    assert not shop.machine.needs_ticks


def test_ticks_are_needed_to_forget_a_refused_adjustment(shop: Shop) -> None:
    shop.remove("lost", "teapot", 1)
    assert shop.machine.needs_ticks
    shop.tick(5)
    assert not shop.machine.needs_ticks


def test_sold_orders_need_no_ticks(shop: Shop) -> None:
    shop.order("o1", vase=1)

    assert not shop.machine.needs_ticks
