"""Reservation rows: what an id was used for, where its units are, and how its life goes on.

A row with state REFUSED is the memory of a refused order: it is no reservation, and no query sees it. A hold whose
time has come is EXPIRED for everyone who looks, whether or not the sweep has been there.
"""

from collections.abc import Iterable
from json import JSONDecoder
from typing import Final

from lastunit_node import sqlite
from lastunit_node.statemachine.canonical import ordered_lines, unit_lines
from lastunit_node.statemachine.commands import FencingToken, UnitLine
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.ranges import Ranges
from lastunit_node.statemachine.results import Reservation, ReservationState, Served
from lastunit_node.statemachine.table import Row, Table
from lastunit_node.statemachine.tables import HOLDS, RESERVATIONS, HoldRow, ReservationRow

_DECODE: Final = JSONDecoder().raw_decode  # half the time of loads(), which looks for space around the value
KEPT_SKUS: Final = 4_096  # of which it is remembered that nothing is due
KEPT_RANGES = 16_384  # whose units are known without reading their JSON. Not Final: tests change it
NO_UNITS: Final = "[]"
REFUSED: Final = 0
HELD: Final = int(ReservationState.HELD)
_STATE: Final = RESERVATIONS.columns.index("state")
_STATES: Final = {int(state): state for state in ReservationState}  # a call of the enum takes five times as long


def encode_range(sku: str, first: int, last: int) -> str:
    """Units of one sku in one range, as encode_units would."""
    return f'[["{sku}",[[{first},{last}]]]]'


def encode_units(units: tuple[UnitLine, ...]) -> str:
    """Units as JSON, so that people can query them. A sku has no character that JSON would escape."""
    return f"[{','.join([_encode_line(sku, ranges) for sku, ranges in units])}]"


def _encode_line(sku: str, ranges: Ranges) -> str:
    return f'["{sku}",[{",".join([f"[{first},{last}]" for first, last in ranges])}]]'


def units_of(row: ReservationRow) -> tuple[UnitLine, ...]:
    """The units that are held by or sold to it."""
    if row.units == NO_UNITS:
        return ()
    units, _ = _DECODE(row.units)
    return unit_lines(units)


def count_ranges(units: str) -> int:
    """How many ranges encode_units wrote: brackets, but for those of a line, of its ranges, and of the whole."""
    return units.count("[") - 2 * units.count('["') - 1


def closed_row(
    row: ReservationRow,
    state: ReservationState,
    *,
    units: str,
    answer: bytes | None,
    resolution: bytes | None = None,
    resolved_index: int | None = None,
    forget_at_tick: int | None = None,
) -> ReservationRow:
    """The row of a hold that has ended. Half the time of _replace()."""
    return ReservationRow(
        row.reservation_id,
        int(state),
        row.token_term,
        row.token_index,
        row.token_position,
        row.created_at_tick,
        row.expires_at_tick,
        units,
        row.request,
        answer,
        resolution,
        resolved_index,
        None,  # says no more than the row
        forget_at_tick,
    )


def token_of(row: ReservationRow) -> FencingToken | None:
    """The token of its hold; None when it never had one."""
    if row.token_term is None or row.token_index is None or row.token_position is None:
        return None
    return FencingToken(row.token_term, row.token_index, row.token_position)


def has_token(row: ReservationRow, token: FencingToken | None) -> bool:
    """Whether this is the token of its hold."""
    return (row.token_term, row.token_index, row.token_position) == token


def state_of(row: ReservationRow, clock: int) -> ReservationState | None:
    """Where in its life it is; None when it is the memory of a refusal."""
    if row.state == REFUSED:
        return None
    if row.state == HELD and row.expires_at_tick <= clock:
        return ReservationState.EXPIRED
    return _STATES[row.state]


def is_held(row: ReservationRow, clock: int) -> bool:
    """Whether its hold stands."""
    return row.state == HELD and row.expires_at_tick > clock


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
    """All reservation rows, and beside them the index of holds by sku: it follows when they are written back.

    Of due holds it says what is so, but for those that were expired since: whenever the clock moves, due() writes back,
    and until it moves again no hold becomes due, and none that is due changes in any other way.
    """

    def __init__(self, connection: sqlite.Connection, digest: Digest) -> None:
        self._rows = Table(connection, RESERVATIONS, digest, self._index)
        self._holds = Table(connection, HOLDS, None)
        self._unindexed: set[str] = set()  # skus whose due holds were expired since then
        self._ranges: dict[str, Served] = {}  # answers of holds that have one range, by id
        self._nothing_due: set[str] = set()  # skus without due holds at the clock of _looked_at; new ones are due later
        self._looked_at = -1
        self._waiting = self._rows.count("state = 1") + self._rows.count("forget_at_tick IS NOT NULL")

    def find(self, reservation_id: str) -> ReservationRow | None:
        """The row of an id."""
        return self._rows.get(reservation_id)

    def is_free(self, reservation_id: str) -> bool:
        """Whether an id has no row."""
        return self._rows.find(reservation_id) is None

    def raw(self, reservation_id: str) -> Row | None:
        """The row of an id, perhaps as a plain tuple."""
        return self._rows.find(reservation_id)

    def prefetch(self, reservation_ids: Iterable[str]) -> None:
        """These are asked for next."""
        self._rows.prefetch_new(reservation_ids)

    def add(self, row: ReservationRow) -> None:
        """A new id."""
        self._rows.insert(row)
        self._waiting += _waits(row)

    def add_sold(self, row: Row) -> None:
        """A new id, of units that are sold."""
        self._rows.insert(row)

    def add_hold(self, row: Row) -> None:
        """A new id that holds units."""
        self._rows.insert(row)
        self._waiting += 1

    def add_range(self, row: Row, held: Served) -> None:
        """A new id that holds one range of units."""
        self.add_hold(row)
        self._ranges[row[0]] = held

    def range_of(self, row: Row) -> Served | None:
        """What a hold was answered, if it has one range of units and memory knows it; else its row has to be read."""
        return self._ranges.get(row[0])

    def sell_range(self, old: Row, new: Row) -> None:
        """Change the row of such a hold, whose units are sold."""
        del self._ranges[old[0]]
        self._rows.replace(old, new)
        self._waiting -= 1

    def update(self, old: ReservationRow, new: ReservationRow) -> None:
        """Change a row whose hold is not due."""
        self._ranges.pop(old.reservation_id, None)
        self._rows.replace(old, new)
        self._waiting += _waits(new) - _waits(old)

    def expire(self, old: ReservationRow, new: ReservationRow, units: tuple[UnitLine, ...]) -> None:
        """Change a row whose hold of these units is due."""
        self.update(old, new)
        for line in units:
            self._unindexed.add(line.sku)

    def forget(self, row: ReservationRow) -> None:
        """As if the id had never been seen."""
        self._rows.delete(row)
        self._waiting -= _waits(row)

    def due(self, clock: int, limit: int) -> list[ReservationRow]:
        """Holds whose time has come, first those that expire first, then by token."""
        order = "ORDER BY expires_at_tick, token_term, token_index, token_position LIMIT ?"
        return self._rows.where(f"state = 1 AND expires_at_tick <= ? {order}", clock, limit)

    def first_due_of(self, sku: str, clock: int, limit: int) -> list[ReservationRow]:
        """The first holds of a sku whose time has come, in the order of due()."""
        if self._looked_at != clock or len(self._nothing_due) > KEPT_SKUS:
            self._looked_at = clock
            self._nothing_due.clear()
        if sku in self._nothing_due:
            return []
        if sku in self._unindexed:
            self.write_back()
        order = "ORDER BY expires_at_tick, token_term, token_index, token_position LIMIT ?"
        found = [hold.reservation_id for hold in self._holds.under(sku, f"expires_at_tick <= ? {order}", clock, limit)]
        if not found:
            self._nothing_due.add(sku)
        self._rows.prefetch(found)
        return [self._due(reservation_id, clock) for reservation_id in found]

    def to_forget(self, clock: int, limit: int) -> list[ReservationRow]:
        """Ids whose retention is over."""
        return self._rows.where("forget_at_tick <= ? ORDER BY forget_at_tick, reservation_id LIMIT ?", clock, limit)

    def wait_for_the_clock(self) -> bool:
        """Whether a hold may expire, or an id is to be forgotten some day."""
        return self._waiting > 0

    def write_back(self) -> None:
        """Bring the database up to date."""
        self._rows.write_back()
        self._holds.write_back()
        self._unindexed.clear()
        if len(self._ranges) > KEPT_RANGES:
            self._ranges.clear()

    def _due(self, reservation_id: str, clock: int) -> ReservationRow:
        row = self._rows.get(reservation_id)
        if row is None or row.state != HELD or row.expires_at_tick > clock:
            raise InvariantError(f"the index of holds says that {reservation_id} is due, which it is not")
        return row

    def _index(self, lost: Iterable[Row], gained: Iterable[Row]) -> None:
        for row in _holding(lost):
            for line in units_of(row):
                self._holds.delete(_hold_row(line.sku, row))
        for row in _holding(gained):
            for line in units_of(row):
                self._holds.insert(_hold_row(line.sku, row))


def _holding(rows: Iterable[Row]) -> list[ReservationRow]:
    """Those that are HELD."""
    return [RESERVATIONS.make(row) for row in rows if row[_STATE] == HELD]


def _waits(row: ReservationRow) -> int:
    """1 when something will happen to it as the clock goes on, else 0: a hold is not to be forgotten before it ends."""
    return row.state == HELD or row.forget_at_tick is not None


def _hold_row(sku: str, row: ReservationRow) -> HoldRow:
    return HoldRow(sku, row.expires_at_tick, row.token_term, row.token_index, row.token_position, row.reservation_id)
