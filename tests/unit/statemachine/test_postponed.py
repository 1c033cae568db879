"""An entry does a bounded amount of work: what is too much for one is postponed, and was not applied."""

import random
from json import loads
from typing import Any

import pytest

from lastunit_node.statemachine import state
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Command,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    UnitLine,
)
from lastunit_node.statemachine.expiry import HOLD
from lastunit_node.statemachine.machine import READ_AHEAD
from lastunit_node.statemachine.results import Outcome, Result
from lastunit_node.statemachine.state import LINE, RANGES_AN_ENTRY

from .shop import Shop, lines, ranges

PIECES = 2_000
POSTPONED = Outcome.POSTPONED
SKUS = {f"s{number}": 1 for number in range(99)}
SCATTERED = ranges(*((2 * number, 2 * number) for number in range(1, 1_001)))


def in_pieces(shop: Shop, pieces: int) -> None:
    """Make every second unit of as many again available."""
    shop.receive("d", vase=2 * pieces)
    shop.order("all", vase=2 * pieces)
    for first in range(0, 2 * pieces, 1_000):
        odd = [(number, number) for number in range(first + 1, min(first + 1_000, 2 * pieces), 2)]
        assert shop.give_back(f"return-{first}", "all", "vase", *odd).outcome is Outcome.RETURNED


def until_answered(shop: Shop, command: Command) -> tuple[Result, int]:
    """Apply a command in entries of its own until it is not postponed; its answer, and how many entries it took."""
    for entries in range(1, 1_000):
        result = shop.do(command)
        if result.outcome is not POSTPONED:
            return result, entries
    raise AssertionError("it was postponed for ever")


def test_small_commands_about_a_large_reservation_are_few_in_an_entry() -> None:
    """4,096 of them, 45 kB, took every node half a minute and half a gigabyte."""
    shop = Shop()
    in_pieces(shop, PIECES)
    first = shop.order("big", vase=PIECES)
    again: list[Command] = [
        PlaceOrder("big", lines({"vase": 1})),
        Release("big", None),
        PlaceOrder("big", lines({"vase": PIECES})),
    ]
    outcomes = [result.outcome for result in shop.apply(*again * 100)]
    answered = outcomes.index(POSTPONED)
    assert outcomes[:3] == [Outcome.ID_REUSED, Outcome.ALREADY_CONFIRMED, Outcome.ORDER_PLACED]
    assert 1 < answered < 2 * RANGES_AN_ENTRY / PIECES
    assert set(outcomes[answered:]) == {POSTPONED}
    assert shop.apply(again[2], PlaceOrder("small", lines({"vase": 1})))[0].units == first.units, "the next entry"


def test_what_was_postponed_is_as_if_it_had_never_come() -> None:
    shop = Shop()
    in_pieces(shop, PIECES)
    shop.order("big", vase=PIECES)
    shop.receive("more", vase=10)
    results = shop.apply(
        *[Release("big", None)] * 20, PlaceOrder("o", lines({"vase": 1})), AdjustStock("a", "vase", 1, (), "")
    )
    assert [result.outcome for result in results[-2:]] == [POSTPONED, POSTPONED]
    assert shop.view.reservation("o") is None
    assert shop.order("o", vase=2).outcome is Outcome.ORDER_PLACED
    assert shop.remove("a", "vase", 2).outcome is Outcome.ADJUSTED


def ordered(sku: str) -> list[Command]:
    return [PlaceOrder(f"o{number}", lines(SKUS | {sku: 1})) for number in range(110)]


@pytest.mark.parametrize(
    ("stock", "commands"),
    [
        (1, ordered("s0")),
        (1, ordered("unknown")),
        (1_000, ordered("s0")),
        (1, [ReceiveStock(f"r{number}", lines(SKUS)) for number in range(110)]),
    ],
    ids=["sold out", "one of them unknown", "served", "receipts"],
)
def test_commands_of_many_lines_are_few_in_an_entry(stock: int, commands: list[Command]) -> None:
    """A message of 920 orders of a hundred lines each, all of other skus, took every node over a second."""
    shop = Shop()
    shop.receive("d", **dict.fromkeys(SKUS, stock))
    shop.order("one", **SKUS)
    outcomes = [result.outcome for result in shop.apply(*commands)]
    answered = outcomes.index(POSTPONED)
    assert RANGES_AN_ENTRY / 500 <= answered <= RANGES_AN_ENTRY / (LINE * 99)
    assert POSTPONED not in outcomes[:answered]
    assert set(outcomes[answered:]) == {POSTPONED}


@pytest.mark.parametrize("kind", [AdjustStock, ReturnUnits])
def test_so_are_commands_that_name_many_ranges(kind: type) -> None:
    shop = Shop()
    shop.receive("d", **SKUS)
    shop.order("one", **SKUS)
    commands: list[Command] = [
        AdjustStock(f"a{number}", "unknown", 0, SCATTERED, "")
        if kind is AdjustStock
        else ReturnUnits(f"r{number}", "one", (UnitLine("s0", SCATTERED),))
        for number in range(20)
    ]
    outcomes = [result.outcome for result in shop.apply(*commands)]
    assert 5 < outcomes.index(POSTPONED) <= RANGES_AN_ENTRY / len(SCATTERED)


def test_fewer_still_are_adjustments_of_ranges_that_lie_anywhere() -> None:
    """Each of which takes some 90 us where there are many: ten commands of a thousand made an entry of a second."""
    shop = Shop()
    shop.receive("d", vase=12_000)
    commands: list[Command] = [
        AdjustStock(f"a{n}", "vase", 0, ranges(*((unit, unit) for unit in range(first, first + 2_000, 2))), "")
        for n, first in enumerate(range(1, 12_000, 2_000))
    ]
    outcomes = [result.outcome for result in shop.apply(*commands)]
    assert outcomes == [Outcome.ADJUSTED] + [POSTPONED] * 5


@pytest.mark.interpreted
def test_so_are_adjustments_that_take_many_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    in_pieces(shop, 40)
    monkeypatch.setattr(state, "RANGES_AN_ENTRY", 10)

    outcomes = [result.outcome for result in shop.apply(*[AdjustStock(f"a{n}", "vase", 4, (), "") for n in range(10)])]

    assert outcomes == [Outcome.ADJUSTED] * 3 + [POSTPONED] * 7


def test_so_are_repeats_of_a_small_command_that_moved_many_ranges() -> None:
    shop = Shop()
    in_pieces(shop, PIECES)
    first = shop.remove("a", "vase", PIECES)
    again = AdjustStock("a", "vase", PIECES, (), "damaged")

    outcomes = [result.outcome for result in shop.apply(*[again] * 100)]

    assert len(first.units[0].ranges) == PIECES
    assert 1 < outcomes.index(POSTPONED) <= RANGES_AN_ENTRY / PIECES


def test_so_are_repeats_of_a_large_hold_that_was_released() -> None:
    shop = Shop()
    in_pieces(shop, PIECES)
    first = shop.reserve("big", vase=PIECES)
    shop.release("big", first.token)

    outcomes = [result.outcome for result in shop.apply(*[Reserve("big", lines({"vase": PIECES}), 0)] * 100)]

    assert outcomes[0] is Outcome.RESERVED
    assert 1 < outcomes.index(POSTPONED) < 3 * RANGES_AN_ENTRY / PIECES


def test_no_more_is_read_ahead_than_an_entry_may_get_to() -> None:
    shop = Shop()
    asked: list[int] = []

    def trace(_cursor: Any, statement: str, values: Any) -> bool:
        if "json_each" in statement:
            asked.append(len(loads(values[0])))
        return True

    shop.connection.exec_trace = trace
    orders = [PlaceOrder(f"o{n}", lines({f"s{n}-{m}": 1 for m in range(100)})) for n in range(200)]
    assert shop.apply(*orders)[0].outcome is Outcome.UNKNOWN_SKU
    assert max(asked) == READ_AHEAD


@pytest.mark.parametrize(
    "command",
    [
        Reserve("new", lines({"vase": 3_000}), 9),
        AdjustStock("lost", "vase", 3_000, (), ""),
        AdjustStock("lost", "vase", 0, ranges((2_999, 3_000)), ""),
    ],
)
def test_who_needs_many_due_holds_gets_them_in_several_entries(command: Command) -> None:
    """One AdjustStock with 20,000 due holds took every node six seconds."""
    shop = Shop(hold_ticks=1, sweep_size=1)
    shop.receive("d", vase=3_000)
    for begin in range(0, 3_000, 500):
        shop.apply(*[Reserve(f"r{number}", lines({"vase": 1}), 1) for number in range(begin, begin + 500)])
    shop.tick(2)
    before = shop.level().held
    assert shop.do(command).outcome is POSTPONED
    at_once = before - shop.level().held
    assert RANGES_AN_ENTRY / (HOLD + 1) <= at_once <= RANGES_AN_ENTRY / (HOLD + 1) + 70
    result, entries = until_answered(shop, command)
    assert result.outcome in {Outcome.RESERVED, Outcome.ADJUSTED}
    assert 2 <= entries <= 4


def test_due_holds_of_many_ranges_are_expired_in_several_entries_too() -> None:
    """An order of 61 bowls, for which 61 holds of 5,000 other pieces each had to go, took every node two seconds."""
    shop = Shop(hold_ticks=1, sweep_size=1)
    holds, pieces = 14, RANGES_AN_ENTRY // 10
    shop.receive("bowls", bowl=holds)
    in_pieces(shop, holds * pieces)
    shop.apply(*[Reserve(f"r{number}", lines({"vase": pieces, "bowl": 1}), 1) for number in range(7)])
    shop.apply(*[Reserve(f"r{number}", lines({"vase": pieces, "bowl": 1}), 1) for number in range(7, holds)])
    shop.tick(2)
    assert shop.level("bowl").held == holds - 1
    assert shop.reserve("new", bowl=holds).outcome is POSTPONED
    assert 0 < shop.level("bowl").held <= 4
    assert shop.reserve("new", bowl=holds).outcome is Outcome.RESERVED


@pytest.mark.interpreted
@pytest.mark.parametrize("seed", range(20))
def test_who_tries_again_is_answered_as_if_entries_had_no_bound(seed: int, monkeypatch: Any) -> None:
    rng = random.Random(seed)
    free, bounded = (Shop(hold_ticks=2, sweep_size=1, retention_ticks=1_000) for _ in range(2))

    def everywhere(command: Command) -> None:
        monkeypatch.setattr(state, "RANGES_AN_ENTRY", 1_000_000)
        expected = free.do(command).outcome
        monkeypatch.setattr(state, "RANGES_AN_ENTRY", 1)
        assert until_answered(bounded, command)[0].outcome is expected

    free.receive("d", vase=40), bounded.receive("d", vase=40)
    for number in range(60):
        name, wanted = f"n{rng.randrange(40)}", lines({"vase": rng.choice([1, 2, 9])})
        some: list[Command] = [Reserve(name, wanted, 1), PlaceOrder(name, wanted), Release(name, None)]
        everywhere(rng.choice([*some, AdjustStock(f"a{number}", "vase", 1, (), "")]))
        if rng.random() < 0.3:
            for shop in (free, bounded):
                while shop.machine.left_due_holds:
                    shop.barrier()
                shop.tick()
    assert free.level() == bounded.level()
