"""A state database that is not what the state machine wrote is found before it is served."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.wal_files import with_checksum

from lastunit_node import sqlite
from lastunit_node.statemachine import integrity, tables
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Configure, Entry, Line, PlaceOrder, ReceiveStock, Reserve
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.integrity import check_state
from lastunit_node.statemachine.machine import StateMachine

from .shop import FOREVER, TERM, memory_database

ORDERS = 40
CELL_POINTERS = 8  # where they begin on a leaf page
LEAF_OF_INDEX = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state with orders, holds and refusals; its indexes have one page each."""
    path = tmp_path / "state.db"
    with closing(open_state(path, identity=Identity("cluster", "n1"))) as connection:
        machine = StateMachine(connection)
        for number, command in enumerate(commands(), start=1):
            machine.apply(number, TERM, encode_entry(Entry(1, FOREVER, (command,))))
        machine.commit()
    return path


def commands() -> Iterator[Command]:
    yield Configure(100, 3, 10, 1_000, 10)
    yield ReceiveStock("delivery", (Line("vase", 2 * ORDERS), Line("bowl", 1)))
    for number in range(ORDERS):
        yield Reserve(f"held-{number}", (Line("vase", 1),), 1 + number % 5)
        yield PlaceOrder(f"placed-{number}", (Line("vase", 1),))
        yield PlaceOrder(f"refused-{number}", (Line("bowl", 9),))


def check(path: Path) -> None:
    with closing(sqlite.connect(path)) as connection:
        check_state(connection, path)


def test_what_the_machine_wrote_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(path)
    monkeypatch.setattr(integrity, "_AT_A_TIME", 7)
    check(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP INDEX reservations_to_forget",
        "DROP TABLE removed_units",
        "CREATE TRIGGER t INSERT ON stock BEGIN SELECT 1; END",
    ],
)
def test_tables_that_are_not_as_they_were_made(path: Path, statement: str) -> None:
    """Every row may be as the digest has it."""
    with closing(sqlite.connect(path)) as connection:
        connection.execute(statement)

    with pytest.raises(StateDamaged, match="its tables are not as they were made"):
        check(path)


def test_every_index_beside_a_table_is_looked_at() -> None:
    with closing(memory_database()) as connection:
        found = set()
        for schema in (*tables.LOGICAL_TABLES, tables.HOLDS):
            for _, name, *_ in connection.execute(f"PRAGMA index_list({schema.name})"):
                columns = [row[2] for row in connection.execute(f"PRAGMA index_xinfo({name})")]
                if columns[-1] is None:  # the rowid; else it is the table itself
                    found.add((schema.name, name, ", ".join(columns[:-1])))
    assert found == {index[:3] for index in tables.INDEXES}


@pytest.mark.parametrize("index", tables.INDEXES)
def test_an_index_is_read_from_its_own_pages(index: tables.Index) -> None:
    """A row that is looked up in the table would hide what the index says."""
    with closing(memory_database()) as connection:
        plan = sqlite.only_row(
            connection,
            f"EXPLAIN QUERY PLAN SELECT {index.columns}, rowid FROM {index.table} INDEXED BY {index.name}"
            f" WHERE {index.condition}",
        )
    assert f"USING COVERING INDEX {index.name}" in plan[3]


@pytest.mark.parametrize("name", [index.name for index in tables.INDEXES if index.table == "reservations"])
def test_an_index_out_of_order(path: Path, name: str) -> None:
    """What is sought in it is not found, though it is there."""
    swap(path, name, 3, 9)
    with pytest.raises(StateDamaged, match=f"{name} does not fit its table"):
        check(path)


@pytest.mark.parametrize("name", ["holds", "stock"])
def test_a_table_out_of_order(path: Path, name: str) -> None:
    """One that is a b-tree with its key: what is sought in it is not found, though a scan reads it."""
    swap(path, name, 0, 1)
    with pytest.raises(StateDamaged, match="SQLite finds: row not in PRIMARY KEY order"):
        check(path)


def swap(path: Path, name: str, *cells: int) -> None:
    """Let two cells of a b-tree change places."""
    with closing(sqlite.connect(path)) as connection:
        (page,) = sqlite.only_row(connection, "SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,))
        (size,) = sqlite.only_row(connection, "PRAGMA page_size")
    data, start = bytearray(path.read_bytes()), (page - 1) * size
    assert data[start] == LEAF_OF_INDEX
    one, other = (start + CELL_POINTERS + 2 * number for number in cells)
    data[one : one + 2], data[other : other + 2] = data[other : other + 2], data[one : one + 2]
    data[start : start + size] = with_checksum(bytes(data[start : start + size]))
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "condition"), [(index.name, index.condition) for index in tables.INDEXES[1:3]])
def test_an_index_that_missed_a_change(path: Path, name: str, condition: str) -> None:
    """All rows are there, as the digest has them; but a hold never expires, or an id is never forgotten."""
    with closing(sqlite.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        row = sqlite.only_row(connection, "SELECT * FROM sqlite_schema WHERE name = ?", (name,))
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
    with closing(sqlite.connect(path)) as connection:  # which knows of no such index
        (rowid,) = sqlite.only_row(connection, f"SELECT max(rowid) FROM reservations WHERE {condition}")
        connection.execute("UPDATE reservations SET rowid = 1000 WHERE rowid = ?", (rowid,))
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
    with pytest.raises(StateDamaged, match=f"{name} does not fit its table"):
        check(path)
