"""Units that come back many at a time: what is available then, and what it costs to say so."""

import random
from collections.abc import Sized

import apsw
import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine import available, reservations, stock
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Entry, Line, PlaceOrder, ReturnUnits, UnitRange
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.ranges import normalise
from lastunit_node.statemachine.results import Outcome
from lastunit_node.statemachine.stock import Place, Stock

from .shop import FOREVER, TERM, Shop, ranges, units

MANY = 300


@pytest.mark.interpreted
@pytest.mark.parametrize("read_at_once", [1, 7, 1_000])
@pytest.mark.parametrize(
    ("many", "among", "together"), [(1, 1, 1), (1, 100, 3), (3, 2, 512), (8, 4, 512), (1_000, 4, 512)]
)
def test_units_that_come_back_together_are_joined_with_their_neighbours(
    connection: sqlite.Connection,
    monkeypatch: pytest.MonkeyPatch,
    read_at_once: int,
    many: int,
    among: int,
    together: int,
) -> None:
    """Beside a set of units: many or few at a time, wherever the front is."""
    monkeypatch.setattr(available, "READ_AT_ONCE", read_at_once)
    monkeypatch.setattr(stock, "MANY", many)
    monkeypatch.setattr(stock, "AMONG", among)
    monkeypatch.setattr(stock, "TOGETHER", together)
    walk = random.Random(2)
    shelves = Stock(connection, Digest())
    shelves.receive("vase", MANY)
    shelf = shelves.known("vase")
    free = set(range(1, MANY + 1))
    for _ in range(60):
        taken = walk.sample(sorted(free), walk.randrange(len(free) + 1))
        shelves.take_named(shelf, normalise(UnitRange(unit, unit) for unit in taken), Place.HELD)
        free.difference_update(taken)
        held = sorted(set(range(1, MANY + 1)) - free)
        come_back = walk.sample(held, walk.randrange(len(held) + 1))
        shelves.put_back(shelf, normalise(UnitRange(unit, unit) for unit in come_back), Place.HELD)
        free.update(come_back)
        shelves.settle()
        shelves.write_back()
        expected = normalise(UnitRange(unit, unit) for unit in free)
        front = () if shelf.front is None else (shelf.front,)
        above = connection.execute("SELECT first, last FROM available_units ORDER BY first").fetchall()
        assert [*front, *above] == list(expected)


@pytest.mark.parametrize("last", [1, 7, 45])
def test_units_that_are_available_cannot_come_back(connection: sqlite.Connection, last: int) -> None:
    """One of many that come back together: at the front, above it, behind them all."""
    shelves = Stock(connection, Digest())
    shelves.receive("vase", MANY)
    shelf = shelves.known("vase")
    shelves.take_named(shelf, ranges(*[(unit, unit) for unit in range(2, 60, 2)]), Place.HELD)
    back = ranges(*[(unit, unit) for unit in range(2, 40, 4)])
    wrong = normalise([*back, UnitRange(last, last)])

    with pytest.raises(InvariantError, match="of vase are already available"):
        shelves.put_back(shelf, wrong, Place.HELD)


def test_many_pieces_of_a_hold_come_back_by_few_questions(shop: Shop) -> None:
    """Far above those that memory has: a hold of a thousand pieces kept every node for 34 ms, a hundred for seconds."""
    shop.receive("more", vase=20 * MANY)
    odd = [(unit, unit) for unit in range(3_001, 3_001 + 4 * MANY, 2)]
    shop.do(PlaceOrder("o", (Line("vase", 15 * MANY),)))
    for at in range(0, len(odd), 500):
        shop.give_back(f"some{at}", "o", "vase", *odd[at : at + 500])
    shop.machine.commit()
    shop.machine = StateMachine(shop.connection)  # its memory is empty
    asked: list[str] = []
    shop.connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda question: asked.append(question["sql"]))
    even = [(unit, unit) for unit in range(3_402, 3_402 + MANY, 2)]
    entry = Entry(1, FOREVER, (ReturnUnits("all", "o", units("vase", *even)),))
    shop.machine.apply(shop.machine.applied_index + 1, TERM, encode_entry(entry))
    shop.connection.trace_v2(0)

    assert len([question for question in asked if "FROM available_units" in question]) <= 4  # 150 pieces
    assert shop.level().available == 20 * MANY + 10 - 15 * MANY + len(odd) + len(even)
    assert shop.machine.scan_digest() == shop.machine.digest


@pytest.mark.interpreted
def test_memory_is_bounded_however_many_skus_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = [
        (stock, "KEPT_SHELVES"),
        (available, "KEPT_SKUS"),
        (reservations, "KEPT_SKUS"),
        (reservations, "KEPT_RANGES"),
    ]
    for home, name in bounds:
        monkeypatch.setattr(home, name, 3)
    shop = Shop()
    for number in range(20):
        sku = {f"s{number}": 2}
        shop.receive(f"d{number}", **sku)
        shop.hold(f"h{number}", **sku)
        assert shop.order(f"o{number}", **sku).outcome is Outcome.OUT_OF_STOCK
    state = shop.machine._state
    kept: list[Sized] = [
        state.stock._shelves,
        state.stock._ranges._lowest,
        state.reservations._nothing_due,
        state.reservations._ranges,
    ]

    assert max(len(each) for each in kept) <= 4
