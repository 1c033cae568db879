"""The rows of the state and their tables, as code sees them (schema.py has them as SQLite does)."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from lastunit_node import sqlite
from lastunit_node.statemachine.hashing import Digest, seed_of
from lastunit_node.statemachine.results import Parameters, StockLevel


class ClockRow(NamedTuple):
    """The logical clock."""

    ticks: int


class AdmittedRow(NamedTuple):
    """The disk of a node that counts (`instance`), and the log position of its Admit.

    replaces: the index of the Admit before it; 0 for the first of a node.
    """

    node: str
    instance: str
    idx: int
    term: int
    replaces: int


class StockRow(NamedTuple):
    """A stock level, and the lowest range of available units; None and None when there are none."""

    sku: str
    received: int
    available: int
    held: int
    sold: int
    removed: int
    first: int | None
    last: int | None

    @property
    def level(self) -> StockLevel:
        """The level alone."""
        return StockLevel(*self[:6])


class AvailableRow(NamedTuple):
    """Units first..last of a sku are available, above those in its stock row. Ranges are disjoint and never touch."""

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
    resolved_index: int | None = None
    resolution_answer: bytes | None = None
    forget_at_tick: int | None = None


class ChangeRow(NamedTuple):
    """A receipt, adjustment or return, accepted or refused; columns as in schema.py."""

    kind: str
    change_id: str
    request: bytes
    answer: bytes
    forget_at_tick: int | None


class HoldRow(NamedTuple):
    """A sku of a reservation that is HELD: an index, no logical row."""

    sku: str
    expires_at_tick: int
    token_term: int | None
    token_index: int | None
    token_position: int | None
    reservation_id: str


LAST_KEY: Final[str] = chr(0x10FFFF)  # no id and no sku is greater

Rows = Iterable[tuple[Any, ...]]
Watch = Callable[[Rows], Rows]  # sees rows go by
RowT = TypeVar("RowT", bound=tuple[Any, ...])


class Schema(NamedTuple, Generic[RowT]):
    """A table as code sees it: the first `key` columns are its primary key."""

    name: str
    columns: tuple[str, ...]
    key: int
    make: Callable[[Iterable[Any]], RowT]

    @property
    def seed(self) -> int:
        """Of the hashes of its rows."""
        return seed_of(self.name)


CLOCK: Final = Schema("clock", ClockRow._fields, 0, ClockRow._make)
PARAMETERS: Final = Schema("parameters", Parameters._fields, 0, Parameters._make)
ADMITTED: Final = Schema("admitted", AdmittedRow._fields, 1, AdmittedRow._make)
STOCK: Final = Schema("stock", StockRow._fields, 1, StockRow._make)
AVAILABLE: Final = Schema("available_units", AvailableRow._fields, 2, AvailableRow._make)
REMOVED: Final = Schema("removed_units", RemovedRow._fields, 2, RemovedRow._make)
RESERVATIONS: Final = Schema("reservations", ReservationRow._fields, 1, ReservationRow._make)
CHANGES: Final = Schema("stock_changes", ChangeRow._fields, 2, ChangeRow._make)
HOLDS: Final = Schema("holds", HoldRow._fields, 5, HoldRow._make)

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
BY_ROWID: Final[tuple[Schema[Any], ...]] = (RESERVATIONS, CHANGES)


class Index(NamedTuple):
    """A b-tree of its own beside a table that has rowids: what it holds before the rowid, and of which rows."""

    table: str
    name: str
    columns: str
    condition: str


_FORGOTTEN_SOME_DAY: Final = "forget_at_tick IS NOT NULL"
INDEXES: Final = (
    Index("reservations", "sqlite_autoindex_reservations_1", "reservation_id", "TRUE"),
    Index(
        "reservations",
        "reservations_by_expiry",
        "expires_at_tick, token_term, token_index, token_position, state",
        "state = 1",
    ),
    Index("reservations", "reservations_to_forget", "forget_at_tick, reservation_id", _FORGOTTEN_SOME_DAY),
    Index("stock_changes", "sqlite_autoindex_stock_changes_1", "kind, change_id", "TRUE"),
    Index("stock_changes", "stock_changes_to_forget", "forget_at_tick, kind, change_id", _FORGOTTEN_SOME_DAY),
)


def select(schema: Schema[Any]) -> str:
    """SELECT of all columns, in the order of the row type."""
    return f"SELECT {', '.join(schema.columns)} FROM {schema.name}"  # noqa: S608 - our own constants


def scan_digest(connection: sqlite.Connection, watch: Watch = iter) -> bytes:
    """The digest of the rows that really stand, recomputed; `watch` sees them go by."""
    digest = Digest()
    for schema in LOGICAL_TABLES:
        digest.add_all(schema.seed, watch(connection.execute(select(schema))))
    return digest.to_bytes()


def scan_share(connection: sqlite.Connection, share: int, shares: int) -> bytes:
    """The digest of one share of the rows, from 0; all shares joined are that of all rows."""
    digest = Digest()
    for number, schema in enumerate(LOGICAL_TABLES):
        if schema in BY_ROWID:
            (last,) = sqlite.only_row(connection, f"SELECT ifnull(max(rowid), 0) FROM {schema.name}")  # noqa: S608
            bounds = (last * share // shares, last * (share + 1) // shares)
            rows = connection.execute(f"{select(schema)} WHERE rowid > ? AND rowid <= ?", bounds)
            digest.add_all(schema.seed, rows)
        elif number % shares == share:
            digest.add_all(schema.seed, connection.execute(select(schema)))
    return digest.to_bytes()
