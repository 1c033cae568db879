"""Values: tokens, arguments as callers write them, and what is refused before it is sent."""

import doctest
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lastunit.v1 import inventory_pb2
from lastunit_client import (
    FencingGate,
    FencingToken,
    InvalidRequestError,
    Line,
    Outcome,
    ReservationState,
    Role,
    UnitLine,
    UnitRange,
    commands,
    fencing,
    orders,
    queries,
)
from lastunit_client.ids import new_id

TOKEN = FencingToken(2, 57, 3)


def decoded(command: bytes) -> inventory_pb2.Command:
    return inventory_pb2.Command.FromString(command)


def test_tokens_are_ordered_by_term_then_index_then_position() -> None:
    first, *later = [FencingToken(1, 9, 9), FencingToken(2, 1, 9), FencingToken(2, 2, 0), FencingToken(2, 10, 0)]
    assert sorted([*later, first]) == [first, *later]


def test_a_token_survives_its_text() -> None:
    assert str(TOKEN) == "2.57.3"
    assert FencingToken.parse("2.57.3") == TOKEN


@pytest.mark.parametrize("text", ["", "1.2", "1.2.3.4", "a.b.c", "-1.2.3", "1. 2.3", "².1.1", f"{10**19}.1.1"])
def test_other_text_is_no_token(text: str) -> None:
    with pytest.raises(ValueError, match="not a fencing token"):
        FencingToken.parse(text)


@pytest.mark.parametrize("token", ["1.10.0", (1, 10, 0), None, FencingToken("1", "10", "0")])  # type: ignore[arg-type]
def test_a_gate_compares_no_texts(token: Any) -> None:
    """In which 1.9.0 comes after 1.10.0."""
    gate = FencingGate()
    with pytest.raises(TypeError, match="FencingToken"):
        gate.admit("VASE#1", token)
    assert gate.admit("VASE#1", FencingToken(1, 9, 0))


def test_a_gate_admits_the_same_or_a_later_holder_only() -> None:
    gate = FencingGate()
    later = FencingToken(3, 1, 0)
    assert [gate.admit("VASE#1", token) for token in (TOKEN, TOKEN, later, TOKEN)] == [True, True, True, False]
    assert gate.admit("VASE#2", TOKEN)
    assert (gate.largest("VASE#1"), gate.largest("VASE#3")) == (later, None)


def test_the_warehouse_of_the_documentation_refuses_a_zombie() -> None:
    results = doctest.testmod(fencing)
    assert (results.attempted >= 4, results.failed) == (True, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (Outcome, inventory_pb2.Outcome, "OUTCOME_"),
        (ReservationState, inventory_pb2.ReservationState, "RESERVATION_STATE_"),
    ],
)
def test_every_number_of_the_api_is_known(ours: Any, theirs: Any, prefix: str) -> None:
    assert {f"{prefix}{member.name}": member.value for member in ours} == {
        name: number for name, number in theirs.items() if number
    }
    assert len(Role) == 3


def test_accepted_and_refused_outcomes_differ() -> None:
    assert {outcome for outcome in Outcome if outcome.accepted} == {Outcome(number) for number in range(1, 9)}


@pytest.mark.parametrize("lines", [{"VASE": 2}, [("VASE", 2)], [Line("VASE", 2)], iter([("VASE", 2)])])
def test_lines_may_be_written_in_several_ways(lines: Any) -> None:
    order = decoded(orders.place_order("r1", lines)).place_order
    assert [(line.sku, line.quantity) for line in order.lines] == [("VASE", 2)]


@pytest.mark.parametrize("units", [{"VASE": [(1, 3)]}, [UnitLine("VASE", (UnitRange(1, 3),))]])
def test_units_may_be_written_in_several_ways(units: Any) -> None:
    line = decoded(commands.return_units("x", "r1", units)).return_units.lines[0]
    assert (line.sku, [(units.first, units.last) for units in line.ranges]) == ("VASE", [(1, 3)])


def test_units_can_be_counted_and_named() -> None:
    line = UnitLine("VASE", (UnitRange(1, 3), UnitRange(7, 7)))
    assert (line.quantity, list(line.numbers())) == (4, [1, 2, 3, 7])


def test_absent_and_present_arguments_are_told_apart() -> None:
    assert not decoded(orders.release("r1", None)).release.HasField("token")
    assert decoded(orders.release("r1", TOKEN)).release.token.index == 57
    assert not decoded(orders.confirm("r1", TOKEN, None)).confirm.lines
    by_quantity = commands.adjust_stock("a", "VASE", quantity=2, ranges=None, reason="")
    assert decoded(by_quantity).adjust_stock.quantity == 2
    by_range = commands.adjust_stock("a", "VASE", quantity=None, ranges=[(1, 3)], reason="")
    assert decoded(by_range).adjust_stock.quantity == 0


class Two:
    """An integer of another library, as numpy's are."""

    def __index__(self) -> int:
        return 2


def test_an_integer_may_be_of_another_kind_wherever_one_is_asked_for() -> None:
    two: Any = Two()
    assert decoded(orders.place_order("r1", {"VASE": two})).place_order.lines[0].quantity == 2
    assert decoded(orders.reserve("r1", {"VASE": 1}, two)).reserve.hold_ticks == 2
    assert decoded(commands.adjust_stock("a", "VASE", quantity=two, ranges=None, reason="")).adjust_stock.quantity == 2
    assert queries.list_stock(two, False, two).page_size == 2


MALFORMED: list[tuple[str, Callable[[], object]]] = [
    ("reservation_id", lambda: orders.place_order(7, {"VASE": 1})),
    ("reservation_id", lambda: orders.place_order("\ud800", {"VASE": 1})),
    ("lines[1]", lambda: orders.place_order("r1", [("VASE", 1), ("VASE", "two")])),  # type: ignore[list-item]
    ("lines[0]", lambda: orders.place_order("r1", "VASE")),  # type: ignore[arg-type]
    ("lines[0]", lambda: orders.place_order("r1", {"VASE": 1 << 64})),
    ("lines[0]", lambda: orders.place_order("r1", {"VASE": -(1 << 63) - 1})),
    ("lines[0]", lambda: orders.place_order("r1", {"VASE": 1.0})),  # type: ignore[arg-type]
    ("lines[0]", lambda: orders.place_order("r1", {"\ud800": 1})),
    ("lines[0]", lambda: orders.place_order("r1", {"VASE": 10**5_000})),
    ("hold_ticks", lambda: orders.reserve("r1", {"VASE": 1}, 10**5_000)),
    ("ranges[0]", lambda: commands.adjust_stock("a", "VASE", quantity=None, ranges=[(1, 10**5_000)], reason="")),
    ("lines", lambda: orders.place_order("r1", None)),  # type: ignore[arg-type]
    ("lines", lambda: orders.place_order("r1", 5)),  # type: ignore[arg-type]
    ("receipt_id", lambda: orders.receive_stock(None, {"VASE": 1})),
    ("hold_ticks", lambda: orders.reserve("r1", {"VASE": 1}, "soon")),
    ("hold_ticks", lambda: orders.reserve("r1", {"VASE": 1}, 1 << 63)),
    ("token", lambda: orders.confirm("r1", "2.57.3", None)),  # type: ignore[arg-type]
    ("token", lambda: orders.confirm("r1", FencingToken(-1, 0, 0), None)),
    ("token", lambda: orders.confirm("r1", FencingToken(0, 0, 1 << 32), None)),
    ("token", lambda: orders.confirm("r1", FencingToken(0, 1 << 64, 0), None)),
    ("lines", lambda: orders.confirm("r1", TOKEN, {})),
    ("quantity", lambda: commands.adjust_stock("a", "VASE", quantity=None, ranges=None, reason="")),
    ("quantity", lambda: commands.adjust_stock("a", "VASE", quantity=1, ranges=[(1, 1)], reason="")),
    ("ranges[0]", lambda: commands.adjust_stock("a", "VASE", quantity=None, ranges=[(1,)], reason="")),  # type: ignore[list-item]
    ("ranges", lambda: commands.adjust_stock("a", "VASE", quantity=None, ranges=5, reason="")),  # type: ignore[arg-type]
    ("lines", lambda: commands.return_units("x", "r1", None)),  # type: ignore[arg-type]
    ("lines[0]", lambda: commands.return_units("x", "r1", ["VASE"])),  # type: ignore[list-item]
    ("lines[0].ranges", lambda: commands.return_units("x", "r1", {"VASE": None})),  # type: ignore[arg-type]
    ("lines[0].ranges[0]", lambda: commands.return_units("x", "r1", {"VASE": [3]})),  # type: ignore[arg-type]
    ("sku", lambda: queries.get_stock("\ud800", False, 0)),
    ("sku", lambda: queries.get_stock(None, False, 0)),
    ("min_index", lambda: queries.get_stock("VASE", False, -1)),
    ("min_index", lambda: queries.get_reservation("r1", True, 1 << 64)),
    ("reservation_id", lambda: queries.get_reservation(b"r1", False, 0)),
    ("page_size", lambda: queries.list_stock(1 << 31, False, 0)),
    ("page_size", lambda: queries.list_reservations(None, "all", False, 0)),
    ("state", lambda: queries.list_reservations("HELD", 100, False, 0)),
    ("hash_at_index", lambda: queries.get_status(-1)),
]


@pytest.mark.parametrize(("field", "build"), MALFORMED)
def test_what_cannot_be_encoded_names_its_field(field: str, build: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        build()
    assert (caught.value.field, caught.value.definite) == (field, True)


# Ids.


def test_ids_are_unique_and_valid() -> None:
    made = [new_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


@pytest.mark.parametrize("clock", [0, -(10**18), 2**63, 2**80])
def test_ids_are_unique_and_valid_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch, clock: int) -> None:
    monkeypatch.setattr("time.time_ns", lambda: clock)
    test_ids_are_unique_and_valid()


def test_threads_get_ids_of_their_own() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id() for _ in range(5_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each[12:] for each in made}) == len(made) == 20_000


FORKS = """
import os
from lastunit_client.ids import new_id

new_id()  # what was drawn beside it is there to be copied
for _ in range(3):
    if os.fork():
        os.wait()
for _ in range(100):
    os.write(1, new_id().encode() + b"\\n")
"""


def test_forks_get_ids_of_their_own() -> None:
    """A parent and its children: eight processes, each forked from one that had drawn ahead."""
    made = subprocess.run([sys.executable, "-c", FORKS], check=True, capture_output=True, text=True).stdout.split()
    assert len({each[12:] for each in made}) == len(made) == 800


def test_later_ids_are_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    made = []
    for later in range(0, 10**13, 10**10 + 10**6):
        monkeypatch.setattr("time.time_ns", lambda later=later: now + later)
        made.append(new_id())
    assert made == sorted(made)
