"""Stock levels and available units: every move of units between available, held, sold and removed.

Each sku in use has a Shelf: its level, and its lowest available range, the *front*, from which orders are served. Both
run ahead of their rows while an entry is applied; settle() brings the rows up to date at its end, and checks them. All
other ranges are rows only: who needs one of them closes the front first.
"""

import sqlite3
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from lastunit_node.statemachine.commands import UnitRange
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.ranges import Ranges, count
from lastunit_node.statemachine.results import StockLevel
from lastunit_node.statemachine.table import Table
from lastunit_node.statemachine.tables import AVAILABLE, STOCK, AvailableRow

KEPT_SHELVES: Final = 4_096  # in memory between two entries


class Place(IntEnum):
    """Where a unit is. The value is its position in a level's counts."""

    AVAILABLE = 0
    HELD = 1
    SOLD = 2
    REMOVED = 3


_AVAILABLE: Final = int(Place.AVAILABLE)  # an enum's attribute costs three times a global


class Shelf:
    """One sku in use."""

    __slots__ = ("counts", "front", "received", "sku", "stored_front", "stored_level")

    def __init__(self, sku: str, stored_level: StockLevel | None) -> None:
        self.sku = sku
        self.stored_level = stored_level  # None: the sku is new
        self.received = 0 if stored_level is None else stored_level.received
        self.counts = [0, 0, 0, 0] if stored_level is None else list(stored_level[2:])
        self.front: AvailableRow | None = None
        self.stored_front: AvailableRow | None = None  # the row that front stands for

    @property
    def available(self) -> int:
        """Units that can be ordered."""
        return self.counts[_AVAILABLE]

    def level(self) -> StockLevel:
        """The level as it stands."""
        return StockLevel(self.sku, self.received, *self.counts)


class Stock:
    """All shelves."""

    def __init__(self, connection: sqlite3.Connection, digest: Digest) -> None:
        self._levels = Table(connection, STOCK, digest)
        self._ranges = Table(connection, AVAILABLE, digest)
        self._shelves: dict[str, Shelf] = {}
        self._touched: dict[str, Shelf] = {}  # by the entry that is being applied

    def prefetch(self, skus: Iterable[str]) -> None:
        """Orders of these skus come next: read what they need in one go."""
        unknown = [sku for sku in dict.fromkeys(skus) if sku not in self._shelves]
        if len(unknown) < 2:
            return
        self._levels.prefetch(unknown)
        for front in self._ranges.lowest_under(unknown):
            shelf = self.known(front.sku)
            shelf.front = shelf.stored_front = front

    def find(self, sku: str) -> Shelf | None:
        """The shelf of a sku; None when it never had any units."""
        shelf = self._shelves.get(sku)
        if shelf is None:
            level = self._levels.get(sku)
            if level is None:
                return None
            shelf = self._shelves[sku] = Shelf(sku, level)
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
        self._close_front(shelf)
        self._add(shelf, new)
        return new

    def take(self, shelf: Shelf, quantity: int, to: Place) -> Ranges:
        """Move the lowest-numbered available units; the caller has seen that there are enough."""
        self.move(shelf, quantity, _AVAILABLE, to)
        taken: list[UnitRange] = []
        while quantity:
            _, first, end = shelf.front or self._open_front(shelf)
            last = first + quantity - 1
            if last < end:
                shelf.front = AvailableRow(shelf.sku, last + 1, end)
            else:
                last = end
                self._drop_front(shelf)
            taken.append(UnitRange(first, last))
            quantity -= last - first + 1
        return tuple(taken)

    def has_available(self, shelf: Shelf, named: UnitRange) -> bool:
        """Whether every one of these units is available."""
        self._close_front(shelf)
        return self._range_around(shelf, named) is not None

    def take_named(self, shelf: Shelf, ranges: Ranges, to: Place) -> None:
        """Move these units; the caller has seen that they are available."""
        self._close_front(shelf)
        self.move(shelf, count(ranges), Place.AVAILABLE, to)
        for first, last in ranges:
            around = self._range_around(shelf, UnitRange(first, last))
            if around is None:
                raise InvariantError(f"units {first}-{last} of {shelf.sku} are not available")
            self._ranges.delete(around)
            if around.first < first:
                self._ranges.insert(AvailableRow(shelf.sku, around.first, first - 1))
            if last < around.last:
                self._ranges.insert(AvailableRow(shelf.sku, last + 1, around.last))

    def put_back(self, shelf: Shelf, ranges: Ranges, source: Place) -> None:
        """Move these units to available."""
        self.move(shelf, count(ranges), source, Place.AVAILABLE)
        self._close_front(shelf)
        for freed in ranges:
            self._add(shelf, freed)

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
            self._settle_front(shelf)
            level = shelf.level()
            if level != shelf.stored_level:
                self._store(shelf, level)
        self._touched.clear()
        if len(self._shelves) > KEPT_SHELVES:
            self._shelves.clear()

    def write_back(self) -> None:
        """Bring the database up to date."""
        self._levels.write_back()
        self._ranges.write_back()

    def _store(self, shelf: Shelf, level: StockLevel) -> None:
        if level.received != sum(shelf.counts) or min(shelf.counts) < 0:
            raise InvariantError(f"units of {shelf.sku} are not conserved: {level!r}")
        if level.available == 0 and self._lowest(shelf) is not None:
            raise InvariantError(f"{shelf.sku} has no available units, but ranges of them")
        if shelf.stored_level is None:
            self._levels.insert(level)
        else:
            self._levels.replace(shelf.stored_level, level)
        shelf.stored_level = level

    def _lowest(self, shelf: Shelf) -> AvailableRow | None:
        found = self._ranges.under(shelf.sku, "TRUE ORDER BY first LIMIT 1")
        return found[0] if found else None

    def _open_front(self, shelf: Shelf) -> AvailableRow:
        front = self._lowest(shelf)
        if front is None:
            raise InvariantError(f"{shelf.sku} has available units, but no ranges of them")
        shelf.front = shelf.stored_front = front
        return front

    def _drop_front(self, shelf: Shelf) -> None:
        """The front is used up."""
        if shelf.stored_front is not None:
            self._ranges.delete(shelf.stored_front)
        shelf.front = shelf.stored_front = None

    def _settle_front(self, shelf: Shelf) -> None:
        """Bring the row of the front up to date."""
        stored, front = shelf.stored_front, shelf.front
        if stored is not None and front is not None and stored != front:
            self._ranges.move(stored, front)
            shelf.stored_front = front

    def _close_front(self, shelf: Shelf) -> None:
        """Make all available ranges rows, and none of them the front: which is the lowest may be about to change."""
        self._settle_front(shelf)
        shelf.front = shelf.stored_front = None

    def _range_around(self, shelf: Shelf, wanted: UnitRange) -> AvailableRow | None:
        """The available range that holds all wanted units."""
        nearest = self._ranges.under(shelf.sku, "first <= ? ORDER BY first DESC LIMIT 1", wanted.first)
        return nearest[0] if nearest and wanted.last <= nearest[0].last else None

    def _add(self, shelf: Shelf, new: UnitRange) -> None:
        """Add a range, joined with the neighbours that it touches."""
        first, last = new
        near = self._ranges.under(shelf.sku, "first <= ? ORDER BY first DESC LIMIT 2", last + 1)
        for row in near:
            if row.first <= new.last and row.last >= new.first:
                raise InvariantError(f"units {new.first}-{new.last} of {shelf.sku} are already available")
            if row.last == new.first - 1 or row.first == new.last + 1:
                self._ranges.delete(row)
                first, last = min(first, row.first), max(last, row.last)
        self._ranges.insert(AvailableRow(shelf.sku, first, last))
