"""Rows in memory before SQLite: what is seen by key, by condition and in the database, and what is written back."""

from contextlib import closing

import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine import table
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.table import Row, Table
from lastunit_node.statemachine.tables import AVAILABLE, RESERVATIONS, AvailableRow, ReservationRow

from .shop import memory_database

ROW = AvailableRow("vase", 1, 5)


@pytest.fixture
def rows(connection: sqlite.Connection) -> Table[AvailableRow]:
    return Table(connection, AVAILABLE, None)


def stored(connection: sqlite.Connection) -> list[tuple[object, ...]]:
    return list(connection.execute("SELECT * FROM available_units ORDER BY sku, first"))


def test_a_row_is_seen_before_it_is_written(connection: sqlite.Connection, rows: Table[AvailableRow]) -> None:
    rows.insert(ROW)

    assert rows.get(("vase", 1)) == ROW
    assert not connection.in_transaction
    assert stored(connection) == []


def test_a_question_by_condition_sees_what_was_not_written_yet(rows: Table[AvailableRow]) -> None:
    rows.insert(ROW)

    assert rows.count("sku = 'vase'") == 1
    rows.insert(ROW._replace(first=7, last=9))
    assert rows.where("sku = ? ORDER BY first", "vase") == [ROW, ("vase", 7, 9)]


def test_what_is_changed_often_is_written_once(connection: sqlite.Connection, rows: Table[AvailableRow]) -> None:
    rows.insert(ROW)
    rows.write_back()
    before = connection.total_changes()
    last = ROW
    for units in range(6, 100):
        rows.replace(last, last := ROW._replace(last=units))
    rows.write_back()

    assert stored(connection) == [last]
    assert connection.total_changes() - before == 1


def test_what_came_and_went_in_between_is_never_written(
    connection: sqlite.Connection, rows: Table[AvailableRow]
) -> None:
    rows.insert(ROW)
    rows.delete(ROW)
    rows.write_back()

    assert rows.get(("vase", 1)) is None
    assert connection.total_changes() == memory_changes()


def test_who_follows_sees_what_the_database_loses_and_what_it_gets(connection: sqlite.Connection) -> None:
    seen = list[tuple[list[Row], list[Row]]]()
    rows = Table(connection, AVAILABLE, None, lambda lost, gained: seen.append((list(lost), list(gained))))
    longer, longest, other = ROW._replace(last=6), ROW._replace(last=7), AvailableRow("bowl", 1, 1)
    rows.insert(ROW)
    rows.insert(other)
    rows.delete(other)
    rows.write_back()
    rows.replace(ROW, longer)
    rows.replace(longer, longest)
    rows.write_back()
    rows.delete(longest)
    rows.write_back()
    rows.write_back()

    assert seen == [([], [ROW]), ([ROW], [longest]), ([longest], [])]


@pytest.mark.parametrize("count", [15, 16, 17, 40])
def test_all_of_many_rows_are_written(connection: sqlite.Connection, rows: Table[AvailableRow], count: int) -> None:
    many = [AvailableRow("vase", 10 * number, 10 * number) for number in range(1, count + 1)]
    for row in many:
        rows.insert(row)
    rows.write_back()

    assert stored(connection) == many


def test_a_row_may_come_as_a_plain_tuple(rows: Table[AvailableRow]) -> None:
    rows.insert(tuple(ROW))

    assert isinstance(rows.get(("vase", 1)), AvailableRow)


def test_a_row_that_went_may_come_again(connection: sqlite.Connection, rows: Table[AvailableRow]) -> None:
    rows.insert(ROW)
    rows.write_back()
    again = ROW._replace(last=9)
    rows.delete(ROW)
    rows.insert(again)
    rows.write_back()

    assert stored(connection) == [again]


def test_a_row_that_is_there_cannot_come_again(connection: sqlite.Connection, rows: Table[AvailableRow]) -> None:
    rows.insert(ROW)
    with pytest.raises(InvariantError, match="has a row"):
        rows.insert(ROW)

    rows.write_back()
    other = Table(connection, AVAILABLE, None)
    other.insert(ROW)
    with pytest.raises(sqlite.ConstraintError):
        other.write_back()


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_a_row_that_is_gone_from_the_database_is_missed(
    connection: sqlite.Connection, rows: Table[AvailableRow], change: str
) -> None:
    rows.insert(ROW)
    rows.write_back()
    connection.execute("DELETE FROM available_units")
    if change == "replace":
        rows.replace(ROW, ROW._replace(last=6))
    else:
        rows.delete(ROW)

    with pytest.raises(InvariantError, match="a row of available_units is gone"):
        rows.write_back()


@pytest.mark.interpreted
def test_memory_forgets_what_is_written_when_it_is_full(
    connection: sqlite.Connection, rows: Table[AvailableRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "KEPT_ROWS", 10)
    for number in range(1, 12):
        rows.insert(AvailableRow("vase", 10 * number, 10 * number))
    rows.write_back()
    connection.execute("UPDATE available_units SET last = 15 WHERE first = 10")

    assert rows.get(("vase", 10)) == ("vase", 10, 15)  # read again


@pytest.mark.interpreted
def test_memory_is_bounded_where_nothing_is_changed(rows: Table[AvailableRow], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who asks for ids that nobody ever used fills it."""
    monkeypatch.setattr(table, "KEPT_ROWS", 10)
    for number in range(1, 100):
        assert rows.get(("vase", number)) is None
        rows.write_back()
        assert len(rows._rows) <= table.KEPT_ROWS


def test_names_read_in_one_go_are_found_in_memory(connection: sqlite.Connection) -> None:
    columns = "reservation_id, state, created_at_tick, expires_at_tick, units"
    connection.execute(f"INSERT INTO reservations ({columns}) VALUES ('a', 2, 0, 0, '[]'), ('b', 2, 0, 0, '[]')")
    reservations = Table(connection, RESERVATIONS, None)
    reservations.prefetch(["a", "x", "b"])
    connection.execute("DELETE FROM reservations")

    found = [reservations.get(name) for name in ("a", "b", "x")]
    assert [row and row.reservation_id for row in found] == ["a", "b", None]


def reservation(name: str) -> ReservationRow:
    return ReservationRow(name, 2, None, None, None, 0, 0, "[]", None, None)


def test_new_rows_are_written_in_the_order_of_their_keys(connection: sqlite.Connection) -> None:
    reservations = Table(connection, RESERVATIONS, None)
    names = ["c", *(f"b-{number}" for number in range(30)), "a"]
    for name in names:
        reservations.insert(reservation(name))
    reservations.write_back()

    written = connection.execute("SELECT reservation_id FROM reservations ORDER BY rowid").fetchall()
    assert [name for (name,) in written] == sorted(names)


@pytest.mark.interpreted
@pytest.mark.parametrize("kept", [0, 100], ids=["memory forgets", "memory keeps"])
def test_what_came_into_a_gap_is_found_in_it(
    connection: sqlite.Connection, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(table, "KEPT_ROWS", kept)
    reservations = Table(connection, RESERVATIONS, None)
    for name in ("o-1", "o-2"):
        reservations.insert(reservation(name))
    reservations.write_back()
    for number in range(10, 19):  # o-20 would lie in another gap
        name = f"o-{number}"
        reservations.prefetch_new([name, f"o-{number + 1}"])
        assert reservations.get(name) is None
        reservations.insert(reservation(name))
        reservations.write_back()

    names = ["o-1", "o-15", "o-2", "o-10", "o-20"]
    reservations.prefetch_new(names)
    assert [name for name in names if reservations.get(name)] == ["o-1", "o-15", "o-2", "o-10"]


@pytest.mark.interpreted
def test_a_row_that_memory_forgot_is_not_missed_in_the_gap_that_it_came_into(
    connection: sqlite.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an id that is known would be taken for a new one."""
    monkeypatch.setattr(table, "KEPT_ROWS", 0)
    reservations = Table(connection, RESERVATIONS, None)
    reservations.prefetch_new(["o-1", "o-2"])
    reservations.insert(reservation("o-1"))
    reservations.write_back()

    reservations.prefetch_new(["o-1", "o-2"])

    assert [reservations.get(name) is not None for name in ("o-1", "o-2")] == [True, False]


def test_keys_that_count_up_are_looked_for_once_a_gap(connection: sqlite.Connection) -> None:
    questions = list[str]()
    reservations = Table(connection, RESERVATIONS, None)
    for number in range(1, 10):
        reservations.insert(reservation(f"o-{number}"))
    reservations.write_back()
    names = [f"o-{number}" for number in range(10, 100)]
    reservations.prefetch_new(names[:10])

    def trace(_cursor: object, question: str, _parameters: object) -> bool:
        questions.append(question)
        return True

    connection.set_exec_trace(trace)
    reservations.prefetch_new(names)

    assert len(questions) == len("23456789")  # 10 to 19 are in memory
    assert [reservations.get(name) for name in names] == [None] * len(names)


def memory_changes() -> int:
    """Changes that making the database took."""
    with closing(memory_database()) as fresh:
        return fresh.total_changes()


def test_a_question_about_one_beginning_of_keys_sees_its_rows_and_writes_back_no_others(
    connection: sqlite.Connection, rows: Table[AvailableRow]
) -> None:
    rows.insert(ROW)
    rows.write_back()
    rows.insert(AvailableRow("bowl", 1, 2))

    assert rows.under("vase", "first <= ? ORDER BY first DESC", 9) == [ROW]
    assert stored(connection) == [ROW]
    assert rows.under("bowl", "TRUE ORDER BY first") == [("bowl", 1, 2)]
    assert stored(connection) == [("bowl", 1, 2), ROW]
