"""Stock levels and available units: every move of units between available, held, sold and removed.

Each sku in use has a Shelf: its level, and its lowest available range, the *front*, from which orders are served. Both
stand in one row, so that an order touches no other; they run ahead of it while an entry is applied, and settle() brings
it up to date at the end, and checks it. The available ranges above the front are elsewhere (available.py).
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from lastunit_node import sqlite
from lastunit_node.statemachine.available import AvailableRanges
from lastunit_node.statemachine.commands import UnitRange
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.ranges import Ranges, count, normalise
from lastunit_node.statemachine.table import Table
from lastunit_node.statemachine.tables import STOCK, AvailableRow, StockRow

KEPT_SHELVES: Final = 4_096  # in memory between two entries
MANY: Final = 8  # ranges that come back together: from here on it pays to ask once for those that lie among them
AMONG: Final = 4  # times as many of these, at most
TOGETHER: Final = 512  # ranges, at most


class Place(IntEnum):
    """Where a unit is. The value is its position in a level's counts."""

    AVAILABLE = 0
    HELD = 1
    SOLD = 2
    REMOVED = 3


_AVAILABLE: Final = int(Place.AVAILABLE)  # an enum's attribute costs three times a global


class Shelf:
    """One sku in use. Units first..last are its front; first 0: no units are available."""

    __slots__ = ("counts", "first", "last", "received", "request", "requested", "requested_hold", "sku", "stored")

    def __init__(self, sku: str, stored: StockRow | None) -> None:
        self.sku = sku
        self.stored = stored  # None: the sku is new
        self.received = 0
        self.counts = [0, 0, 0, 0]
        self.first = self.last = 0
        self.request: bytes | None = None  # of the last order that had no other line, and what it asked for
        self.requested = self.requested_hold = 0
        if stored is not None:
            self.received = stored.received
            self.counts = [stored.available, stored.held, stored.sold, stored.removed]
            if stored.first is not None and stored.last is not None:
                self.first, self.last = stored.first, stored.last

    @property
    def available(self) -> int:
        """Units that can be ordered."""
        return self.counts[_AVAILABLE]

    @property
    def front(self) -> UnitRange | None:
        """The lowest available range; None when no units are available."""
        return UnitRange(self.first, self.last) if self.first else None

    def set_front(self, units: UnitRange | None) -> None:
        """Another lowest range."""
        self.first, self.last = (0, 0) if units is None else units

    def row(self) -> StockRow:
        """The row as it should be."""
        available, held, sold, removed = self.counts
        front = (self.first, self.last) if self.first else (None, None)
        return StockRow(self.sku, self.received, available, held, sold, removed, *front)


class Stock:
    """All shelves."""

    def __init__(self, connection: sqlite.Connection, digest: Digest) -> None:
        self._rows = Table(connection, STOCK, digest)
        self._ranges = AvailableRanges(connection, digest)
        self._shelves: dict[str, Shelf] = {}
        self._touched: dict[str, Shelf] = {}  # by the entry that is being applied

    def prefetch(self, skus: Iterable[str]) -> None:
        """Orders of these skus come next: read what they need in one go."""
        self._rows.prefetch([sku for sku in dict.fromkeys(skus) if sku not in self._shelves])

    def find(self, sku: str) -> Shelf | None:
        """The shelf of a sku; None when it never had any units."""
        shelf = self._shelves.get(sku)
        if shelf is None:
            row = self._rows.get(sku)
            if row is None:
                return None
            shelf = self._shelves[sku] = Shelf(sku, row)
        return shelf

    def known(self, sku: str) -> Shelf:
        """The shelf of a sku that must exist, since a reservation has units of it."""
        shelf = self.find(sku)
        if shelf is None:
            raise InvariantError(f"sku {sku} has units but no stock level")
        return shelf

    def receive(self, sku: str, quantity: int) -> UnitRange:
        """New units: the next numbers, available."""
        shelf = self.find(sku)
        if shelf is None:
            shelf = self._shelves[sku] = Shelf(sku, None)
        self._touched[sku] = shelf
        new = UnitRange(shelf.received + 1, shelf.received + quantity)
        shelf.received += quantity
        shelf.counts[Place.AVAILABLE] += quantity
        self._add(shelf, new)
        return new

    def take(self, shelf: Shelf, quantity: int, to: int) -> Ranges:
        """Move the lowest-numbered available units; the caller has seen that there are enough."""
        self.move(shelf, quantity, _AVAILABLE, to)
        taken: list[UnitRange] = []
        while quantity:
            if not shelf.first:
                raise InvariantError(f"{shelf.sku} has available units, but no ranges of them")
            first, last = shelf.first, min(shelf.last, shelf.first + quantity - 1)
            self._shorten_front(shelf, last)
            taken.append(UnitRange(first, last))
            quantity -= last - first + 1
        return tuple(taken)

    def count_ranges(self, shelf: Shelf, quantity: int, most: int) -> int | None:
        """How many ranges take() would take; None: more than `most`. The caller has seen that there are enough."""
        beyond = quantity - (shelf.last - shelf.first + 1)
        if beyond <= 0 or not most:
            return 1 if most else None
        above = self._ranges.holding(shelf.sku, beyond, most - 1)
        return None if above is None else 1 + above

    def take_range(self, shelf: Shelf, quantity: int, to: int) -> int:
        """Move the lowest-numbered available units, if there are as many in one range; the first of them, else 0."""
        first, last = shelf.first, shelf.first + quantity - 1
        if not first or last > shelf.last:
            return 0
        self.move(shelf, quantity, _AVAILABLE, to)
        self._shorten_front(shelf, last)
        return first

    def has_available(self, shelf: Shelf, named: UnitRange) -> bool:
        """Whether every one of these units is available."""
        return _is_within(shelf.front, named) or self._range_around(shelf, named) is not None

    def take_named(self, shelf: Shelf, ranges: Ranges, to: int) -> None:
        """Move these units; the caller has seen that they are available."""
        self.move(shelf, count(ranges), Place.AVAILABLE, to)
        for named in ranges:
            front = shelf.front
            if front is not None and _is_within(front, named):
                self._take_from_front(shelf, front, named)
            else:
                self._take_above_front(shelf, named)

    def put_back(self, shelf: Shelf, ranges: Ranges, source: int) -> None:
        """Move these units to available."""
        self.move(shelf, count(ranges), source, Place.AVAILABLE)
        for at in range(0, len(ranges), TOGETHER):
            self._add_all(shelf, ranges[at : at + TOGETHER])

    def move(self, shelf: Shelf, quantity: int, source: int, to: int) -> None:
        """Count so many units out of one place and into another."""
        if shelf.counts[source] < quantity:
            raise InvariantError(
                f"{quantity} units of {shelf.sku} leave {Place(source).name}, which has {shelf.counts[source]}"
            )
        shelf.counts[source] -= quantity
        shelf.counts[to] += quantity
        self._touched[shelf.sku] = shelf

    def settle(self) -> None:
        """End of an entry: bring the rows up to date. Raises InvariantError when a shelf does not add up."""
        for shelf in self._touched.values():
            row = shelf.row()
            if row != shelf.stored:
                self._store(shelf, row)
        self._touched.clear()
        if len(self._shelves) > KEPT_SHELVES:
            self._shelves.clear()

    def write_back(self) -> None:
        """Bring the database up to date."""
        self._rows.write_back()
        self._ranges.write_back()

    def _store(self, shelf: Shelf, row: StockRow) -> None:
        if row.received != sum(shelf.counts) or min(shelf.counts) < 0:
            raise InvariantError(f"units of {shelf.sku} are not conserved: {row!r}")
        if row.available == 0 and shelf.first:
            raise InvariantError(f"{shelf.sku} has no available units, but ranges of them")
        if row.available and not shelf.first:
            raise InvariantError(f"{shelf.sku} has available units, but no ranges of them")
        if shelf.stored is None:
            self._rows.insert(row)
        else:
            self._rows.replace(shelf.stored, row)
        shelf.stored = row

    def _shorten_front(self, shelf: Shelf, taken: int) -> None:
        """The front up to this unit is taken."""
        if taken < shelf.last:
            shelf.first = taken + 1
        else:
            shelf.set_front(self._next_front(shelf.sku))

    def _next_front(self, sku: str) -> UnitRange | None:
        """The front is used up: the lowest range above it comes in its place, if there is one."""
        lowest = self._ranges.lowest(sku)
        if lowest is None:
            return None
        self._ranges.remove(lowest)
        return UnitRange(lowest.first, lowest.last)

    def _take_from_front(self, shelf: Shelf, front: UnitRange, named: UnitRange) -> None:
        below, above = UnitRange(front.first, named.first - 1), UnitRange(named.last + 1, front.last)
        if _is_empty(below):
            shelf.set_front(self._next_front(shelf.sku) if _is_empty(above) else above)
            return
        shelf.set_front(below)
        self._insert(shelf.sku, above)

    def _take_above_front(self, shelf: Shelf, named: UnitRange) -> None:
        around = self._range_around(shelf, named)
        if around is None:
            raise InvariantError(f"units {named.first}-{named.last} of {shelf.sku} are not available")
        self._ranges.remove(around)
        self._insert(shelf.sku, UnitRange(around.first, named.first - 1))
        self._insert(shelf.sku, UnitRange(named.last + 1, around.last))

    def _insert(self, sku: str, units: UnitRange) -> None:
        """A range above the front, unless it is empty."""
        if not _is_empty(units):
            self._ranges.add(sku, units)

    def _range_around(self, shelf: Shelf, wanted: UnitRange) -> AvailableRow | None:
        """The range above the front that holds all wanted units."""
        nearest = self._ranges.nearest(shelf.sku, wanted.first, 1)
        return nearest[0] if nearest and wanted.last <= nearest[0].last else None

    def _add_all(self, shelf: Shelf, new: Ranges) -> None:
        """Add ranges: many at once, if not many more lie among them."""
        if len(new) < MANY or not self._add_together(shelf, new):
            for one in new:
                self._add(shelf, one)

    def _add_together(self, shelf: Shelf, new: Ranges) -> bool:
        """Join ranges with those that lie among them; False, and nothing done, when these are too many to look at."""
        among = self._ranges.around(shelf.sku, UnitRange(new[0].first, new[-1].last), AMONG * len(new))
        if among is None:
            return False
        before = [UnitRange(row.first, row.last) for row in among]
        front = shelf.front
        is_apart = front is not None and front.last < new[0].first - 1
        pieces = (*new, *before) if front is None or is_apart else (front, *new, *before)
        after = normalise(pieces)
        if count(after) != count(pieces):
            raise InvariantError(f"some of units {new[0].first}-{new[-1].last} of {shelf.sku} are already available")
        if not is_apart:
            shelf.set_front(after[0])
            after = after[1:]
        for gone in sorted(set(before).difference(after)):
            self._ranges.remove(AvailableRow(shelf.sku, *gone))
        for came in sorted(set(after).difference(before)):
            self._ranges.add(shelf.sku, came)
        return True

    def _add(self, shelf: Shelf, new: UnitRange) -> None:
        """Add a range, joined with the neighbours that it touches."""
        front = shelf.front
        if front is None:
            shelf.set_front(new)
        elif new.last < front.first - 1:
            self._ranges.add(shelf.sku, front)
            shelf.set_front(new)
        elif new.last == front.first - 1:
            shelf.first = new.first
        elif new.first == front.last + 1:
            shelf.last = self._joined(shelf, new).last
        elif new.first <= front.last:
            raise InvariantError(f"units {new.first}-{new.last} of {shelf.sku} are already available")
        else:
            self._ranges.add(shelf.sku, self._joined(shelf, new))

    def _joined(self, shelf: Shelf, new: UnitRange) -> UnitRange:
        """The range, with the neighbours above the front that it touches: these are taken out."""
        first, last = new
        for row in self._ranges.nearest(shelf.sku, last + 1, 2):
            if row.first <= new.last and row.last >= new.first:
                raise InvariantError(f"units {new.first}-{new.last} of {shelf.sku} are already available")
            if row.last == new.first - 1 or row.first == new.last + 1:
                self._ranges.remove(row)
                first, last = min(first, row.first), max(last, row.last)
        return UnitRange(first, last)


def _is_empty(units: UnitRange) -> bool:
    return units.last < units.first


def _is_within(units: UnitRange | None, named: UnitRange) -> bool:
    return units is not None and units.first <= named.first and named.last <= units.last
