"""Ranges above the front: what memory has of them is what the table has, and few questions are asked of it."""

import random
from bisect import bisect_left

import apsw
import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine import available
from lastunit_node.statemachine.available import AvailableRanges
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Entry, Line, PlaceOrder, ReceiveStock, Release, Reserve
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.tables import AvailableRow

from .shop import FOREVER, TERM, Shop, ranges, units

MANY = 300


def stored(connection: sqlite.Connection) -> list[tuple[object, ...]]:
    return list(connection.execute("SELECT * FROM available_units ORDER BY sku, first"))


@pytest.mark.interpreted
@pytest.mark.parametrize("read_at_once", [1, 7, 1_000])
@pytest.mark.parametrize("kept_of_one", [2, 20, 10_000])
@pytest.mark.parametrize("kept_of_all", [0, 50, 100_000])
def test_memory_says_what_the_table_says(
    connection: sqlite.Connection,
    monkeypatch: pytest.MonkeyPatch,
    read_at_once: int,
    kept_of_one: int,
    kept_of_all: int,
) -> None:
    """However little is read and kept: beside a sorted list, in a random walk of 3,000 steps."""
    monkeypatch.setattr(available, "READ_AT_ONCE", read_at_once)
    monkeypatch.setattr(available, "KEPT_OF_ONE", kept_of_one)
    monkeypatch.setattr(available, "KEPT_OF_ALL", kept_of_all)
    walk = random.Random(1)
    both = AvailableRanges(connection, Digest())
    expected: dict[str, list[AvailableRow]] = {"bowl": [], "vase": []}
    for step in range(3_000):
        sku = walk.choice(["bowl", "vase"])
        rows = expected[sku]
        unit = walk.randrange(10, 10 * MANY)
        row = AvailableRow(sku, unit - unit % 10, unit - unit % 10 + walk.randrange(5))
        at = bisect_left(rows, row[:2])
        if step % 3 == 0:
            lowest = both.lowest(sku)
            assert lowest == (rows[0] if rows else None)
            if lowest is not None:
                both.remove(rows.pop(0))
        elif at < len(rows) and rows[at].first == row.first:
            both.remove(rows.pop(at))
        else:
            both.add(sku, ranges(row[1:])[0])
            rows.insert(at, row)
        below = [row for row in rows if row.first <= unit]
        assert both.nearest(sku, unit, 2) == below[:-3:-1]
        if step % 50 == 0:
            both.write_back()
    both.write_back()

    assert stored(connection) == expected["bowl"] + expected["vase"]
    assert both._kept == sum(len(known.rows) for known in both._lowest.values()) <= max(kept_of_all, 0)


def test_what_is_no_range_cannot_be_removed(connection: sqlite.Connection) -> None:
    both = AvailableRanges(connection, Digest())
    both.add("vase", ranges((10, 12))[0])
    assert both.nearest("vase", 11, 1) == [AvailableRow("vase", 10, 12)]

    with pytest.raises(InvariantError, match="units 10-11 of vase are no range that is available"):
        both.remove(AvailableRow("vase", 10, 11))


def test_orders_of_units_that_came_back_piece_by_piece_ask_for_many_pieces_at_once() -> None:
    """As fast as of units in a row, or nearly so: the rest of a sale in which every other hold was given up."""
    shop = Shop()
    shop.machine.apply(*next_entry(shop, ReceiveStock("r", (Line("vase", 2 * MANY + 10),))))
    holds = shop.machine.apply(
        *next_entry(shop, *[Reserve(f"h{n}", (Line("vase", 1),), 0) for n in range(2 * MANY)])
    ).results
    shop.machine.commit()
    shop.machine = StateMachine(shop.connection)  # its memory is empty
    asked: list[str] = []
    shop.connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda question: asked.append(question["sql"]))
    shop.machine.apply(*next_entry(shop, *[Release(f"h{n}", holds[n].token) for n in range(0, 2 * MANY, 2)]))
    results = [
        shop.machine.apply(*next_entry(shop, PlaceOrder(f"o{n}", (Line("vase", 1),)))).results[0] for n in range(MANY)
    ]
    shop.connection.trace_v2(0)

    assert [result.units for result in results] == [units("vase", (n, n)) for n in range(1, 2 * MANY, 2)]
    assert len([question for question in asked if "FROM available_units" in question]) <= 1
    shop.machine.commit()
    assert shop.machine.scan_digest() == shop.machine.digest


def next_entry(shop: Shop, *commands: Command) -> tuple[int, int, bytes]:
    """What apply() is given, without the write-back and audit of the shop."""
    return shop.machine.applied_index + 1, TERM, encode_entry(Entry(1, FOREVER, commands))
