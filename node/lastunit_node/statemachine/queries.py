"""Reads of the state: one snapshot, one applied index. Used by GetStock and its like; never by apply."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lastunit_node import sqlite
from lastunit_node.statemachine.reservations import present
from lastunit_node.statemachine.results import Reservation, ReservationState, StateHash, StockLevel
from lastunit_node.statemachine.tables import (
    LAST_KEY,
    RESERVATIONS,
    STOCK,
    ReservationRow,
    StockRow,
    Watch,
    scan_digest,
    select,
)


class Snapshot(Protocol):
    """One consistent view of the state."""

    @property
    def applied_index(self) -> int:
        """Index of the last entry that this view contains."""
        ...

    def stock(self, sku: str) -> StockLevel | None:
        """The level of one sku; None when it never had any units."""
        ...

    def list_stock(self, after: str, limit: int) -> list[StockLevel]:
        """At most `limit` levels, by sku, of skus greater than `after`."""
        ...

    def reservation(self, reservation_id: str) -> Reservation | None:
        """One reservation; None when the id is unknown, was refused, or is forgotten."""
        ...

    def stretch_of_reservations(self, after: str, rows: int) -> str:
        """The id with which so many rows after `after` end, of reservations and refusals; LAST_KEY if fewer follow."""
        ...

    def list_reservations(
        self, after: str, limit: int, state: ReservationState | None, upto: str = LAST_KEY
    ) -> list[Reservation]:
        """At most `limit` reservations, by id, of ids in (after, upto]; only those in `state` if one is given.

        Looks at every row of that stretch until it has them: some 1.3 us each, also for those that are not wanted.
        """
        ...


# A hold that is due but not yet swept is EXPIRED to every reader; the memory of a refusal is no reservation.
_SEEN_STATE = "CASE WHEN state = 1 AND expires_at_tick <= :clock THEN 4 ELSE state END"
_PAGE = "reservation_id > :after AND reservation_id <= :upto ORDER BY reservation_id LIMIT :limit"


class SqliteSnapshot:
    """A Snapshot on a reader connection with an open transaction; the first SELECT fixed it."""

    def __init__(self, connection: sqlite.Connection) -> None:
        self._connection = connection
        self.applied_index: int
        self.clock: int
        self.applied_index, self.clock = sqlite.only_row(connection, "SELECT applied_index, ticks FROM state, clock")

    def stock(self, sku: str) -> StockLevel | None:
        """See Snapshot."""
        row = self._connection.execute(f"{select(STOCK)} WHERE sku = ?", (sku,)).fetchone()
        return None if row is None else StockRow(*row).level

    def list_stock(self, after: str, limit: int) -> list[StockLevel]:
        """See Snapshot."""
        page = f"{select(STOCK)} WHERE sku > ? ORDER BY sku LIMIT ?"
        return [StockRow(*row).level for row in self._connection.execute(page, (after, limit))]

    def reservation(self, reservation_id: str) -> Reservation | None:
        """See Snapshot."""
        row = self._connection.execute(f"{select(RESERVATIONS)} WHERE reservation_id = ?", (reservation_id,)).fetchone()
        return None if row is None else present(ReservationRow(*row), self.clock)

    def stretch_of_reservations(self, after: str, rows: int) -> str:
        """See Snapshot."""
        keys = "SELECT reservation_id FROM reservations WHERE reservation_id > ? ORDER BY reservation_id"
        found = self._connection.execute(f"{keys} LIMIT 1 OFFSET ?", (after, rows - 1)).fetchone()
        return LAST_KEY if found is None else str(found[0])

    def list_reservations(
        self, after: str, limit: int, state: ReservationState | None, upto: str = LAST_KEY
    ) -> list[Reservation]:
        """See Snapshot."""
        condition = "state != 0" if state is None else f"{_SEEN_STATE} = :state"
        rows = self._connection.execute(
            f"{select(RESERVATIONS)} WHERE {condition} AND {_PAGE}",
            {"clock": self.clock, "state": state, "after": after, "upto": upto, "limit": limit},
        )
        seen = (present(ReservationRow(*row), self.clock) for row in rows)
        return [reservation for reservation in seen if reservation is not None]

    def state_hash(self) -> StateHash:
        """Both hashes as they were kept."""
        return StateHash(*sqlite.only_row(self._connection, "SELECT applied_index, chain, digest FROM state"))

    def scan_digest(self, watch: Watch) -> bytes:
        """The digest recomputed from every row; `watch` sees them go by. Takes seconds: never on an event loop."""
        return scan_digest(self._connection, watch)


@contextmanager
def read_snapshot(reader: sqlite.Connection) -> Iterator[SqliteSnapshot]:
    """One consistent read on a connection of open_reader; it holds back checkpoints, so close it soon."""
    reader.execute("BEGIN")
    try:
        yield SqliteSnapshot(reader)
    finally:
        sqlite.end(reader)
