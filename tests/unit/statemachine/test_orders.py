"""Reserve and PlaceOrder: all lines or nothing, lowest numbers first, every refusal by name."""

import apsw

from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import (
    Command,
    Entry,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Reserve,
    UnitLine,
)
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Outcome, Reservation, ReservationState, Shortage, StockLevel

from .shop import FOREVER, TERM, Shop, ranges, units


def test_an_order_takes_the_lowest_numbered_units(shop: Shop) -> None:
    result = shop.order("o1", vase=3)

    assert result.outcome is Outcome.ORDER_PLACED
    assert result.units == units("vase", (1, 3))
    assert result.expires_at_tick == 0
    assert shop.level() == StockLevel("vase", received=10, available=7, held=0, sold=3, removed=0)


def test_a_hold_takes_units_from_available_and_sells_none(shop: Shop) -> None:
    result = shop.reserve("r1", vase=4)

    assert result.outcome is Outcome.RESERVED
    assert result.units == units("vase", (1, 4))
    assert shop.level() == StockLevel("vase", received=10, available=6, held=4, sold=0, removed=0)


def test_a_replay_carries_the_reservation_as_it_stands(shop: Shop) -> None:
    shop.tick(2)

    result = shop.reserve("r1", vase=4)

    assert result.reservation is None  # the answer itself says it all
    again = shop.reserve("r1", vase=4).reservation
    assert again == Reservation(
        "r1", ReservationState.HELD, result.token, 2, 6, (Line("vase", 4),), units("vase", (1, 4))
    )
    assert again == shop.reservation("r1")
    assert shop.order("o1", bowl=1).reservation is None


def test_a_token_is_the_log_position_of_its_command(shop: Shop) -> None:
    index = shop.machine.applied_index + 1

    first, second = shop.apply(
        PlaceOrder("o1", (Line("vase", 1),)),
        Reserve("r1", (Line("vase", 1),), 0),
    )

    assert first.token == FencingToken(TERM, index, 0)
    assert second.token == FencingToken(TERM, index, 1)
    assert shop.hold("r2", vase=1) > second.token


def test_an_order_of_several_lines_sorts_them_by_sku(shop: Shop) -> None:
    result = shop.order("o1", vase=2, bowl=1)

    assert result.units == (UnitLine("bowl", ranges((1, 1))), UnitLine("vase", ranges((1, 2))))
    assert shop.reservation("o1").lines == (Line("bowl", 1), Line("vase", 2))


def test_lines_of_one_sku_are_summed_before_they_are_checked(shop: Shop) -> None:
    result = shop.do(PlaceOrder("o1", (Line("vase", 6), Line("vase", 6))))

    assert result.outcome is Outcome.OUT_OF_STOCK
    assert result.shortages == (Shortage("vase", requested=12, available=10),)


def test_an_order_is_all_or_nothing(shop: Shop) -> None:
    result = shop.order("o1", bowl=5, vase=11)

    assert result.outcome is Outcome.OUT_OF_STOCK
    assert shop.available("bowl") == 5
    assert shop.available("vase") == 10


def test_out_of_stock_names_every_sku_that_falls_short(shop: Shop) -> None:
    shop.receive("more", plate=3)

    result = shop.order("o1", vase=11, plate=3, bowl=6)

    assert result.shortages == (Shortage("bowl", 6, 5), Shortage("vase", 11, 10))


def test_the_last_unit_is_sold_once(shop: Shop) -> None:
    assert shop.order("o1", vase=9).outcome is Outcome.ORDER_PLACED
    assert shop.order("o2", vase=1).units == units("vase", (10, 10))
    assert shop.order("o3", vase=1).outcome is Outcome.OUT_OF_STOCK


def test_an_unknown_sku_is_refused_before_a_shortage_is_looked_for(shop: Shop) -> None:
    result = shop.order("o1", vase=11, teapot=1)

    assert result.outcome is Outcome.UNKNOWN_SKU
    assert result.shortages == ()


def test_a_refused_order_is_no_reservation(shop: Shop) -> None:
    result = shop.order("o1", vase=11)

    assert result.reservation is None
    assert shop.view.reservation("o1") is None
    assert shop.view.list_reservations("", 10, None) == []


def test_freed_units_are_sold_again_lowest_first(shop: Shop) -> None:
    token = shop.hold("r1", vase=2)
    shop.order("o1", vase=3)
    shop.release("r1", token)

    assert shop.order("o2", vase=4).units == units("vase", (1, 2), (6, 7))


def test_a_hold_lasts_as_long_as_asked(shop: Shop) -> None:
    assert shop.reserve("r1", hold_ticks=7, vase=1).expires_at_tick == 8


def test_a_hold_of_no_length_lasts_as_long_as_the_parameters_say(shop: Shop) -> None:
    assert shop.reserve("r1", hold_ticks=0, vase=1).expires_at_tick == 4


def test_a_hold_is_cut_to_the_cap(shop: Shop) -> None:
    assert shop.reserve("r1", hold_ticks=1_000_000, vase=1).expires_at_tick == 11


def test_orders_of_many_skus_in_one_entry_are_read_in_one_go(shop: Shop) -> None:
    """As fast with a million skus as with one: what an entry needs of its skus is one question."""
    shop.hold("r1", vase=1)
    shop.machine.commit()
    shop.machine = StateMachine(shop.connection)  # its memory is empty
    asked: list[str] = []
    shop.connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda question: asked.append(question["sql"]))
    orders = [PlaceOrder(f"o{number}", (Line(sku, 1),)) for number, sku in enumerate(("vase", "bowl", "vase", "cup"))]
    applied = shop.machine.apply(*next_entry(shop, *orders))
    shop.connection.trace_v2(0)

    assert [result.units for result in applied.results[:3]] == [
        units("vase", (2, 2)),
        units("bowl", (1, 1)),
        units("vase", (3, 3)),
    ]
    assert applied.results[3].outcome is Outcome.UNKNOWN_SKU
    assert len([question for question in asked if "CROSS JOIN stock ON" in question]) == 1
    others = [question for question in asked if "max(sku)" not in question]  # once a first character, and never again
    assert not [question for question in others if "FROM stock WHERE" in question or "available_units" in question]


def test_what_an_entry_left_in_memory_is_seen_by_the_next(shop: Shop) -> None:
    """Ranges that are not written back yet are not looked for in the database."""
    shop.machine.commit()
    shop.machine = StateMachine(shop.connection)
    shop.machine.apply(*next_entry(shop, ReceiveStock("r9", (Line("vase", 5), Line("cup", 2)))))
    orders = [PlaceOrder(f"o{sku}", (Line(sku, 2),)) for sku in ("cup", "bowl", "vase")]
    applied = shop.machine.apply(*next_entry(shop, *orders))

    assert [result.units for result in applied.results] == [units(sku, (1, 2)) for sku in ("cup", "bowl", "vase")]
    assert shop.machine.scan_digest() == shop.machine.digest


def next_entry(shop: Shop, *commands: Command) -> tuple[int, int, bytes]:
    """What apply() is given, without the write-back and audit of the shop."""
    return shop.machine.applied_index + 1, TERM, encode_entry(Entry(1, FOREVER, commands))
