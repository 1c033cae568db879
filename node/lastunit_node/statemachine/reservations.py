"""Reservation rows: what an id was used for, where its units are, and what it answers when it comes again.

A row with state REFUSED is the memory of a refused order: it is no reservation, and no query sees it. A hold whose
time has come is EXPIRED for everyone who looks, whether or not the sweep has been there.
"""

import sqlite3
from json import loads
from typing import Final

from lastunit_node.statemachine.canonical import ordered_lines, unit_lines
from lastunit_node.statemachine.commands import FencingToken, UnitLine
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.ranges import Ranges
from lastunit_node.statemachine.results import Reservation, ReservationState
from lastunit_node.statemachine.tables import RESERVATIONS, ReservationRow, Table

REFUSED: Final = 0
HELD: Final = int(ReservationState.HELD)


def encode_units(units: tuple[UnitLine, ...]) -> str:
    """Units as JSON, so that people can query them. A sku has no character that JSON would escape."""
    return f"[{','.join([_encode_line(sku, ranges) for sku, ranges in units])}]"


def _encode_line(sku: str, ranges: Ranges) -> str:
    return f'["{sku}",[{",".join([f"[{first},{last}]" for first, last in ranges])}]]'


def units_of(row: ReservationRow) -> tuple[UnitLine, ...]:
    """The units that are held by or sold to it."""
    return unit_lines(loads(row.units))


def token_of(row: ReservationRow) -> FencingToken | None:
    """The token of its hold; None when it never had one."""
    if row.token_term is None or row.token_index is None or row.token_position is None:
        return None
    return FencingToken(row.token_term, row.token_index, row.token_position)


def state_of(row: ReservationRow, clock: int) -> ReservationState | None:
    """Where in its life it is; None when it is the memory of a refusal."""
    if row.state == REFUSED:
        return None
    if row.state == HELD and row.expires_at_tick <= clock:
        return ReservationState.EXPIRED
    return ReservationState(row.state)


def present(row: ReservationRow | None, clock: int) -> Reservation | None:
    """The reservation as everyone sees it; None when there is none."""
    state = None if row is None else state_of(row, clock)
    if row is None or state is None:
        return None
    return Reservation(
        row.reservation_id,
        state,
        token_of(row),
        row.created_at_tick,
        row.expires_at_tick,
        ordered_lines(row.request),
        () if state is ReservationState.EXPIRED else units_of(row),
    )


class Reservations:
    """All reservation rows, and the index of holds by sku beside them."""

    def __init__(self, connection: sqlite3.Connection, digest: Digest) -> None:
        self._connection = connection
        self._rows = Table(connection, digest, RESERVATIONS)
        self._waits: bool | None = None  # for the clock; None: not known without a look

    def find(self, reservation_id: str) -> ReservationRow | None:
        """The row of an id."""
        return self._rows.get(reservation_id)

    def add(self, row: ReservationRow) -> None:
        """A new id."""
        self._rows.insert(row)
        if row.forget_at_tick is not None:
            self._waits = True

    def add_hold(self, row: ReservationRow, units: tuple[UnitLine, ...]) -> None:
        """A new id that holds units."""
        self._rows.insert(row)
        self._waits = True
        self._index_hold(row, units)

    def update(self, old: ReservationRow, new: ReservationRow) -> None:
        """Change a row that holds nothing before or after."""
        self._rows.replace(old, new)
        self._waits = None

    def close_hold(self, old: ReservationRow, new: ReservationRow, units: tuple[UnitLine, ...]) -> None:
        """A hold of these units ends."""
        self._rows.replace(old, new)
        self._waits = None
        self._unindex_hold(old, units)

    def move_expiry(self, old: ReservationRow, expires_at_tick: int) -> ReservationRow:
        """Let a hold expire at another tick; the row as it now stands."""
        new = old._replace(expires_at_tick=expires_at_tick)
        units = units_of(old)
        self._unindex_hold(old, units)
        self._rows.replace(old, new)
        self._index_hold(new, units)
        return new

    def forget(self, row: ReservationRow) -> None:
        """As if the id had never been seen."""
        self._rows.delete(row)
        self._waits = None

    def due(self, clock: int, limit: int) -> list[ReservationRow]:
        """Holds whose time has come, first those that expire first, then by token."""
        order = "ORDER BY expires_at_tick, token_term, token_index, token_position LIMIT ?"
        return self._rows.where(f"state = 1 AND expires_at_tick <= ? {order}", clock, limit)

    def first_due_of(self, sku: str, clock: int) -> ReservationRow | None:
        """The first hold of a sku whose time has come."""
        found = self._connection.execute(
            "SELECT reservation_id FROM holds WHERE sku = ? AND expires_at_tick <= ?"
            " ORDER BY expires_at_tick, token_term, token_index, token_position LIMIT 1",
            (sku, clock),
        ).fetchone()
        return None if found is None else self._rows.get(*found)

    def to_forget(self, clock: int, limit: int) -> list[ReservationRow]:
        """Ids whose retention is over."""
        return self._rows.where("forget_at_tick <= ? ORDER BY forget_at_tick, reservation_id LIMIT ?", clock, limit)

    def wait_for_the_clock(self) -> bool:
        """Whether a hold may expire, or an id is to be forgotten some day."""
        if self._waits is None:
            held = "SELECT 1 FROM reservations WHERE state = 1"
            remembered = "SELECT 1 FROM reservations WHERE forget_at_tick IS NOT NULL"
            found = self._connection.execute(f"SELECT EXISTS ({held}) OR EXISTS ({remembered})").fetchone()
            self._waits = bool(found[0])
        return self._waits

    def _index_hold(self, row: ReservationRow, units: tuple[UnitLine, ...]) -> None:
        self._connection.executemany(
            "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?)",
            [
                (line.sku, row.expires_at_tick, row.token_term, row.token_index, row.token_position, row.reservation_id)
                for line in units
            ],
        )

    def _unindex_hold(self, row: ReservationRow, units: tuple[UnitLine, ...]) -> None:
        removed = self._connection.executemany(
            "DELETE FROM holds WHERE sku = ? AND expires_at_tick = ?"
            " AND token_term = ? AND token_index = ? AND token_position = ?",
            [(line.sku, row.expires_at_tick, row.token_term, row.token_index, row.token_position) for line in units],
        )
        if removed.rowcount != len(units):
            raise InvariantError(f"reservation {row.reservation_id} is not indexed by its skus")
