"""Is a state database what the state machine wrote? Looked at before it is served, and by `lastunit-node verify`.

Five looks, each for what the others do not see: SQLite's own, at its pages and indexes; the tables' definitions; the
CRC of the one row that says how far the log is applied; the digest, over every logical row; the index of holds against
the reservations.
A row costs about 4 us, 0.4 s for 100,000 reservations, nearly all of it for the digest; wide_scan.py shares that work.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from lastunit_node.statemachine import tables
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.hashing import state_crc
from lastunit_node.statemachine.schema import SCHEMA

Scan = Callable[[sqlite3.Connection], bytes]  # gives the digest of all rows

_HOLDS: Final = "SELECT sku, expires_at_tick, token_term, token_index, token_position, reservation_id FROM holds"
_HELD: Final = (
    "SELECT json_extract(value, '$[0]'), expires_at_tick, token_term, token_index, token_position, reservation_id"
    " FROM reservations, json_each(units) WHERE state = 1"
)


def check_state(connection: sqlite3.Connection, path: Path, scan: Scan = tables.scan_digest) -> None:
    """Raise StateDamaged unless the database is whole, sqlite3.Error if it cannot be read; `scan` reads the rows."""
    connection.execute("BEGIN")
    try:
        with closing(connection.execute("PRAGMA integrity_check(1)")) as found:
            (verdict,) = found.fetchone()
        problem = f"SQLite finds: {verdict}" if verdict != "ok" else _problem_of_rows(connection, scan)
    finally:
        connection.execute("ROLLBACK")
    if problem is not None:
        raise StateDamaged(f"{path} is damaged: {problem}")


def _problem_of_rows(connection: sqlite3.Connection, scan: Scan) -> str | None:
    definitions = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    if {_in_one_line(sql) for (sql,) in definitions} != {_in_one_line(statement) for statement in SCHEMA}:
        return "its tables are not as they were made"
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
