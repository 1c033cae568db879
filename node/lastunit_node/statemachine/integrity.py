"""Is a state database what the state machine wrote? Looked at before it is served, and by `lastunit-node verify`.

Six looks, each for what the others do not see: the tables' definitions; SQLite's own, at its pages; the indexes against
their tables, for which SQLite would look every row up (18 s for 5 million reservations; two passes, each in its own
order, take 3); the CRC of the one row that says how far the log is applied; the digest, over every logical row; the
holds by sku against the reservations.
A row costs about 2 us, 0.2 s for 100,000 reservations, half of it for the digest; wide_scan.py shares that work.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from lastunit_node import sqlite
from lastunit_node.statemachine import tables
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.hashing import state_crc
from lastunit_node.statemachine.schema import SCHEMA

Scan = Callable[[sqlite.Connection], bytes]  # gives the digest of all rows
Look = Callable[[sqlite.Connection], str | None]  # gives what is wrong

_AT_A_TIME: Final = 10_000  # rows in memory

_HOLDS: Final = "SELECT sku, expires_at_tick, token_term, token_index, token_position, reservation_id FROM holds"
_HELD: Final = (
    "SELECT json_extract(value, '$[0]'), expires_at_tick, token_term, token_index, token_position, reservation_id"
    " FROM reservations, json_each(units) WHERE state = 1"
)


def problem_of_indexes(connection: sqlite.Connection) -> str | None:
    """Which index does not fit its table."""
    for index in tables.INDEXES:
        held = f"{index.columns}, rowid"
        by_index = f"SELECT {held} FROM {index.table} INDEXED BY {index.name} WHERE {index.condition}"  # noqa: S608
        by_table = f"SELECT {held} FROM {index.table} NOT INDEXED WHERE {index.condition}"  # noqa: S608
        indexed, is_in_order = _sum_in_order(connection.execute(by_index))
        if not is_in_order or indexed != sum(map(hash, connection.execute(by_table))):
            return f"{index.name} does not fit its table"
    return None


def check_state(
    connection: sqlite.Connection, path: Path, scan: Scan = tables.scan_digest, look: Look = problem_of_indexes
) -> None:
    """Raise StateDamaged unless the database is whole, sqlite.Error if it cannot be read.

    `scan` reads the rows and `look` the indexes: most of the work.
    """
    connection.execute("BEGIN")
    try:
        problem = (
            _problem_of_definitions(connection)
            or _problem_of_pages(connection)
            or look(connection)
            or _problem_of_rows(connection, scan)
        )
    finally:
        sqlite.end(connection)
    if problem is not None:
        raise StateDamaged(f"{path} is damaged: {problem}")


def _problem_of_definitions(connection: sqlite.Connection) -> str | None:
    definitions = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    if {_in_one_line(sql) for (sql,) in definitions} != {_in_one_line(statement) for statement in SCHEMA}:
        return "its tables are not as they were made"
    return None


def _problem_of_pages(connection: sqlite.Connection) -> str | None:
    """What SQLite finds; where a table is one b-tree with its key, that its rows are in order too."""
    ordered = [schema.name for schema in (*tables.LOGICAL_TABLES, tables.HOLDS) if schema not in tables.BY_ROWID]
    for check in ("quick_check(1)", *(f"integrity_check({name})" for name in ordered)):
        (verdict,) = sqlite.only_row(connection, f"PRAGMA {check}")
        if verdict != "ok":
            return f"SQLite finds: {verdict}"
    return None


def _sum_in_order(rows: Iterator[tuple[Any, ...]]) -> tuple[int, bool]:
    """The sum of the hashes of all rows, and whether each is greater than the one before."""
    total, last = 0, list[tuple[Any, ...]]()
    while found := list(islice(rows, _AT_A_TIME)):
        if not _is_in_order(last + found):
            return total, False
        total += sum(map(hash, found))
        last = found[-1:]
    return total, True


def _is_in_order(rows: list[tuple[Any, ...]]) -> bool:
    try:
        return rows == sorted(rows)
    except TypeError:  # damage can turn a column into anything
        return False


def _problem_of_rows(connection: sqlite.Connection, scan: Scan) -> str | None:
    state = connection.execute("SELECT applied_index, applied_term, chain, digest, crc FROM state").fetchone()
    if state is None or state[4] != state_crc(*state[:4]):
        return "its row of applied index and hashes is not as it was written"
    if scan(connection) != state[3]:
        return f"its rows do not have the digest that they had at index {state[0]}"
    for one, other in ((_HELD, _HOLDS), (_HOLDS, _HELD)):
        if connection.execute(f"{one} EXCEPT {other}").fetchone():
            return "its index of holds does not fit its reservations"
    return None


def _in_one_line(statement: str) -> str:
    return " ".join(statement.split())
