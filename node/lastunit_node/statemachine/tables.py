"""Logical rows and their tables: every write of one goes through Table, which keeps the digest in step."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.results import Parameters, StockLevel


class ClockRow(NamedTuple):
    """The logical clock."""

    ticks: int


class AdmittedRow(NamedTuple):
    """The disk of a node that counts (`instance`), and the log position of its Admit."""

    node: str
    instance: str
    idx: int
    term: int


class AvailableRow(NamedTuple):
    """Units first..last of a sku are available. Ranges are disjoint and never touch."""

    sku: str
    first: int
    last: int


class RemovedRow(NamedTuple):
    """Units first..last of a sku are damaged or lost."""

    sku: str
    first: int
    last: int
    adjustment_id: str


class ReservationRow(NamedTuple):
    """A reservation, or the memory of a refused one; columns as in schema.py."""

    reservation_id: str
    state: int
    token_term: int | None
    token_index: int | None
    token_position: int | None
    created_at_tick: int
    expires_at_tick: int
    units: str
    request: bytes | None
    answer: bytes | None
    resolution: bytes | None = None
    resolution_answer: bytes | None = None
    forget_at_tick: int | None = None


class ChangeRow(NamedTuple):
    """A receipt, adjustment or return, accepted or refused; columns as in schema.py."""

    kind: str
    change_id: str
    request: bytes
    answer: bytes
    forget_at_tick: int | None


RowT = TypeVar("RowT", bound=tuple[Any, ...])


class Schema(NamedTuple, Generic[RowT]):
    """A table as code sees it: the first `key` columns are its primary key."""

    name: str
    columns: tuple[str, ...]
    key: int
    make: Callable[[Iterable[Any]], RowT]


CLOCK: Final = Schema("clock", ClockRow._fields, 0, ClockRow._make)
PARAMETERS: Final = Schema("parameters", Parameters._fields, 0, Parameters._make)
ADMITTED: Final = Schema("admitted", AdmittedRow._fields, 1, AdmittedRow._make)
STOCK: Final = Schema("stock", StockLevel._fields, 1, StockLevel._make)
AVAILABLE: Final = Schema("available_units", AvailableRow._fields, 2, AvailableRow._make)
REMOVED: Final = Schema("removed_units", RemovedRow._fields, 2, RemovedRow._make)
RESERVATIONS: Final = Schema("reservations", ReservationRow._fields, 1, ReservationRow._make)
CHANGES: Final = Schema("stock_changes", ChangeRow._fields, 2, ChangeRow._make)

LOGICAL_TABLES: Final[tuple[Schema[Any], ...]] = (
    CLOCK,
    PARAMETERS,
    ADMITTED,
    STOCK,
    AVAILABLE,
    REMOVED,
    RESERVATIONS,
    CHANGES,
)


def select(schema: Schema[Any]) -> str:
    """SELECT of all columns, in the order of the row type."""
    return f"SELECT {', '.join(schema.columns)} FROM {schema.name}"  # noqa: S608 - our own constants


class Table(Generic[RowT]):
    """One table: reads by key or condition, and writes that keep the digest in step."""

    def __init__(self, connection: sqlite3.Connection, digest: Digest, schema: Schema[RowT]) -> None:
        self._execute = connection.execute
        self._digest = digest
        self._schema = schema
        name, columns = schema.name, schema.columns
        key = " AND ".join(f"{column} = ?" for column in columns[: schema.key]) or "only_row = 1"
        places = ", ".join("?" * len(columns))
        self._select = select(schema)
        self._get = f"{self._select} WHERE {key}"
        self._insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
        changes = ", ".join(f"{column} = ?" for column in columns[schema.key :])
        self._update = f"UPDATE {name} SET {changes} WHERE {key}"  # noqa: S608
        moved = ", ".join(f"{column} = ?" for column in columns)
        self._move = f"UPDATE {name} SET {moved} WHERE {key}"  # noqa: S608
        self._delete = f"DELETE FROM {name} WHERE {key}"  # noqa: S608

    def get(self, *key: object) -> RowT | None:
        """The row of this primary key."""
        found = self._execute(self._get, key).fetchone()
        return None if found is None else self._schema.make(found)

    def where(self, condition: str, *parameters: object) -> list[RowT]:
        """Rows by a condition that ends in ORDER BY: what is read unordered is not the same on every node."""
        found = self._execute(f"{self._select} WHERE {condition}", parameters)
        return [self._schema.make(row) for row in found.fetchall()]

    def insert(self, row: RowT) -> None:
        """Add a row."""
        self._execute(self._insert, row)
        self._digest.add(self._schema.name, row)

    def replace(self, old: RowT, new: RowT) -> None:
        """Put `new`, of the same primary key, in the place of `old`, which is the row as it stands."""
        key = self._schema.key
        self._touch_one(self._update, new[key:] + old[:key])
        self._digest.remove(self._schema.name, old)
        self._digest.add(self._schema.name, new)

    def move(self, old: RowT, new: RowT) -> None:
        """Put `new`, of any primary key that is free, in the place of `old`, which is the row as it stands."""
        self._touch_one(self._move, new + old[: self._schema.key])
        self._digest.remove(self._schema.name, old)
        self._digest.add(self._schema.name, new)

    def delete(self, old: RowT) -> None:
        """Take away `old`, which is the row as it stands."""
        self._touch_one(self._delete, old[: self._schema.key])
        self._digest.remove(self._schema.name, old)

    def _touch_one(self, statement: str, parameters: tuple[object, ...]) -> None:
        if self._execute(statement, parameters).rowcount != 1:
            raise InvariantError(f"a row of {self._schema.name} is gone: {parameters!r}")


def scan_digest(connection: sqlite3.Connection, watch: Callable[[Iterable[Any]], Iterable[Any]] = iter) -> bytes:
    """The digest of the rows that really stand, recomputed; `watch` sees them go by."""
    digest = Digest()
    for schema in LOGICAL_TABLES:
        digest.add_all(schema.name, watch(connection.execute(select(schema))))
    return digest.to_bytes()
