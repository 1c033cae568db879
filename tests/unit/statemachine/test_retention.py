"""Closed ids are forgotten after the retention, and nothing delayed can meet a forgotten one."""

import pytest

from lastunit_node.statemachine.commands import (
    AdjustStock,
    Command,
    Confirm,
    ExtendHold,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
)
from lastunit_node.statemachine.results import Outcome

from .shop import ELSEWHERE, Shop, lines, units


def test_a_refused_order_is_remembered_for_the_retention_and_then_forgotten(shop: Shop) -> None:
    shop.order("o1", vase=11)
    shop.tick(4)
    assert shop.order("o1", vase=11).replayed
    shop.tick()
    assert shop.order("o1", vase=1).outcome is Outcome.ORDER_PLACED


def test_a_released_hold_is_forgotten_after_the_retention(shop: Shop) -> None:
    shop.release("r1", shop.hold("r1", vase=1))
    shop.tick(4)
    assert shop.view.reservation("r1") is not None
    shop.tick()
    assert shop.view.reservation("r1") is None


def test_an_id_released_before_use_is_forgotten_after_the_retention(shop: Shop) -> None:
    shop.release("r1")
    shop.tick(5)

    assert shop.view.reservation("r1") is None


def test_the_retention_of_an_expired_hold_starts_when_it_expires(shop: Shop) -> None:
    shop.hold("r1", vase=1)
    shop.tick(8)
    assert shop.view.reservation("r1") is not None
    shop.tick()
    assert shop.view.reservation("r1") is None


def test_a_hold_is_not_forgotten_however_long_it_lasts(shop: Shop) -> None:
    shop.hold("r1", hold_ticks=9, vase=1)
    shop.tick(9)

    assert shop.level().held == 1


def test_refused_adjustments_and_returns_are_forgotten(shop: Shop) -> None:
    shop.remove("lost", "vase", 11)
    shop.give_back("back", "nobody", "vase", (1, 1))
    shop.tick(5)

    assert shop.remove("lost", "vase", 1).outcome is Outcome.ADJUSTED
    assert not shop.give_back("back", "nobody", "vase", (1, 1)).replayed


def test_what_changed_stock_is_remembered_for_good(shop: Shop) -> None:
    shop.order("o1", vase=2)
    shop.confirm("r1", shop.hold("r1", vase=1))
    shop.remove("lost", "vase", 1)
    shop.give_back("back", "o1", "vase", (1, 1))
    shop.tick(50)

    assert shop.order("o1", vase=2).replayed
    assert shop.reserve("r1", vase=1).replayed
    assert shop.remove("lost", "vase", 1).replayed
    assert shop.give_back("back", "o1", "vase", (1, 1)).replayed
    assert shop.receive("delivery", vase=10, bowl=5).replayed


def test_a_step_forgets_no_more_ids_than_its_size() -> None:
    shop = Shop(sweep_size=2)
    for name in ("a", "b", "c"):
        shop.order(name, teapot=1)
    shop.remove("d", "teapot", 1)
    shop.tick(5)
    remembered = "SELECT reservation_id FROM reservations UNION ALL SELECT change_id FROM stock_changes ORDER BY 1"

    assert shop.rows(remembered) == [("c",), ("d",)]
    shop.barrier()
    assert shop.rows(remembered) == []


def test_ids_are_forgotten_by_tick_kind_and_name() -> None:
    shop = Shop(sweep_size=1)
    shop.give_back("0", "nobody", "vase", (1, 1))
    shop.remove("b", "teapot", 1)
    shop.remove("a", "teapot", 1)
    shop.order("o1", teapot=1)
    shop.tick(5)

    remaining = []
    while shop.machine.needs_ticks:
        names = "SELECT reservation_id FROM reservations UNION ALL SELECT change_id FROM stock_changes"
        remaining.append({name for (name,) in shop.rows(names)})
        shop.barrier()
    assert remaining == [{"a", "b", "0"}, {"b", "0"}, {"0"}]


def test_the_clock_does_not_wait_for_ids_to_be_forgotten() -> None:
    shop = Shop(sweep_size=1)
    for name in ("a", "b", "c"):
        shop.order(name, teapot=1)
    shop.tick(5)

    assert shop.do(Tick(5)).outcome is Outcome.TICKED


def test_an_entry_acts_until_the_tick_it_is_stamped_with(shop: Shop) -> None:
    shop.tick(2)

    assert shop.do(PlaceOrder("o1", lines({"vase": 1})), valid_until_tick=2).outcome is Outcome.ORDER_PLACED


@pytest.mark.parametrize(
    "command",
    [
        Reserve("new", lines({"vase": 1}), 0),
        PlaceOrder("new", lines({"vase": 1})),
        PlaceOrder("new", lines({"teapot": 1})),
        Confirm("held", ELSEWHERE, ()),
        Confirm("new", ELSEWHERE, ()),
        Release("held", ELSEWHERE),
        Release("new", None),
        ExtendHold("held", ELSEWHERE, 9),
        ExtendHold("new", ELSEWHERE, 9),
        ReceiveStock("new", lines({"vase": 1})),
        AdjustStock("new", "vase", 1, (), ""),
        ReturnUnits("new", "held", units("vase", (1, 1))),
        Tick(2),
    ],
)
def test_a_command_that_comes_too_late_does_nothing_and_is_not_remembered(shop: Shop, command: Command) -> None:
    shop.tick()
    shop.hold("held", vase=1)
    shop.tick()
    before = shop.machine.digest

    result = shop.do(command, valid_until_tick=1)

    assert result.outcome is Outcome.TOO_LATE
    assert (result.reservation is not None) == ("held" in command)
    assert shop.machine.digest == before


def test_a_right_confirm_that_comes_too_late_sells_nothing(shop: Shop) -> None:
    token = shop.hold("held", hold_ticks=9, vase=1)
    shop.tick(2)

    assert shop.do(Confirm("held", token, ()), valid_until_tick=1).outcome is Outcome.TOO_LATE
    assert shop.level().held == 1


def test_remembered_ids_are_looked_at_before_the_stamp(shop: Shop) -> None:
    first = shop.order("o1", vase=1)
    token = shop.hold("r1", vase=1)
    confirmed = shop.confirm("r1", token)
    received = shop.receive("d9", vase=1)
    shop.tick(3)

    order = PlaceOrder("o1", (Line("vase", 1),))
    again = first._replace(replayed=True, reservation=shop.reservation("o1"))
    assert shop.do(order, valid_until_tick=1) == again
    assert shop.do(order._replace(lines=lines({"vase": 2})), valid_until_tick=1).outcome is Outcome.ID_REUSED
    assert shop.do(Confirm("r1", token, ()), valid_until_tick=1) == confirmed._replace(
        replayed=True, reservation=shop.reservation("r1")
    )
    assert shop.do(ReceiveStock("d9", lines({"vase": 1})), valid_until_tick=1) == received._replace(replayed=True)
    assert shop.do(Release("r1", token), valid_until_tick=1).outcome is Outcome.TOO_LATE


def test_nothing_delayed_meets_a_forgotten_id(shop: Shop) -> None:
    """A copy of a released Reserve, stamped at its first proposal, is still in the network when the id is forgotten."""
    stamp = shop.machine.clock + 4  # less than the retention ahead
    shop.release("r1", shop.hold("r1", vase=1))
    shop.tick(5)

    late = shop.do(Reserve("r1", lines({"vase": 1}), 0), valid_until_tick=stamp)

    assert late.outcome is Outcome.TOO_LATE
    assert shop.available() == 10


@pytest.mark.parametrize("retention", range(4, 9))
def test_no_copy_of_a_repeat_in_the_allowed_half_meets_a_forgotten_id(retention: int) -> None:
    """The entry of a repeat stands in the log twice, its second copy behind the step that forgets the id."""
    shop = Shop(retention_ticks=retention)
    shop.receive("delivery", vase=1)
    shop.order("o1", vase=2)
    shop.receive("more", vase=1)
    last = (retention + 1) // 2  # no more ticks fit into half the retention
    shop.tick(last)
    stamp = shop.machine.clock + retention // 2 - 1  # as frontend/batcher.py has it
    order = PlaceOrder("o1", lines({"vase": 2}))

    first = shop.do(order, valid_until_tick=stamp)
    shop.tick(retention - last - 1)
    again = shop.do(order, valid_until_tick=stamp)
    shop.tick()
    late = shop.do(order, valid_until_tick=stamp)

    assert (first.outcome, first.replayed) == (Outcome.OUT_OF_STOCK, True)
    assert again == first
    assert late.outcome is Outcome.TOO_LATE
    assert shop.level().sold == 0
