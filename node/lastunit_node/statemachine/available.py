"""The available ranges of every sku above its front: rows of a table, the lowest ones of a sku in use in memory too.

Orders use them up from below, and what comes back mostly has low numbers: so nearly all questions are answered from
memory, and the changes of many entries are written together. Asked of SQLite one by one, with the changes written back
before each, an order of a sku in small pieces, as expired holds leave it, took twelve times as long as any other.
"""

from bisect import bisect_left, bisect_right
from typing import Final

from lastunit_node import sqlite
from lastunit_node.statemachine.commands import UnitRange
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.limits import MAX_UNIT
from lastunit_node.statemachine.table import Table
from lastunit_node.statemachine.tables import AVAILABLE, AvailableRow

READ_AT_ONCE: Final = 64  # ranges
KEPT_OF_ONE: Final = 4_096  # ranges of one sku: the list is short enough to be cut and joined in a microsecond
KEPT_OF_ALL: Final = 65_536  # ranges, between two transactions
KEPT_SKUS: Final = 4_096  # between two transactions


class _Lowest:
    """Those of one sku that begin at `until` or below: all of them, ascending."""

    __slots__ = ("rows", "until")

    def __init__(self) -> None:
        self.rows: list[AvailableRow] = []
        self.until = 0


class AvailableRanges:
    """Disjoint, never touching, none empty; a range is given as its row stands."""

    def __init__(self, connection: sqlite.Connection, digest: Digest) -> None:
        self._table = Table(connection, AVAILABLE, digest)
        self._lowest: dict[str, _Lowest] = {}
        self._kept = 0  # ranges of all these

    def lowest(self, sku: str) -> AvailableRow | None:
        """The first one."""
        known = self._known(sku)
        return known.rows[0] if known.rows else None

    def nearest(self, sku: str, unit: int, count: int) -> list[AvailableRow]:
        """So many of those that begin at this unit or below, the nearest first."""
        known = self._known(sku)
        if unit > known.until:
            return self._table.under(sku, "first <= ? ORDER BY first DESC LIMIT ?", unit, count)
        end = bisect_right(known.rows, (sku, unit, MAX_UNIT))
        return known.rows[max(0, end - count) : end][::-1]

    def holding(self, sku: str, quantity: int, most: int) -> int | None:
        """How many of the lowest ones have so many units, of which there are enough; None: more than `most`."""
        for number, row in enumerate(self._table.under(sku, "first > 0 ORDER BY first LIMIT ?", most), 1):
            quantity -= row.last - row.first + 1
            if quantity <= 0:
                return number
        return None

    def around(self, sku: str, units: UnitRange, most: int) -> list[AvailableRow] | None:
        """All that have one of these units, or touch them, ascending, and perhaps one below; None: more than `most`."""
        known = self._known(sku)
        end = units.last + 1
        below = self.nearest(sku, units.first, 1)
        if end > known.until:
            first = below[0].first if below else units.first
            found = self._table.under(sku, "first BETWEEN ? AND ? ORDER BY first LIMIT ?", first, end, most + 1)
        else:
            start = bisect_left(known.rows, below[0]) if below else 0
            found = known.rows[start : min(bisect_right(known.rows, (sku, end, MAX_UNIT)), start + most + 1)]
        return found if len(found) <= most else None

    def add(self, sku: str, units: UnitRange) -> None:
        """One more."""
        row = AvailableRow(sku, units.first, units.last)
        self._table.insert(row)
        known = self._lowest.get(sku)
        if known is None or row.first > known.until:
            return
        known.rows.insert(bisect_left(known.rows, row), row)
        self._kept += 1
        if len(known.rows) > KEPT_OF_ONE:
            self._kept -= len(known.rows) - KEPT_OF_ONE // 2
            del known.rows[KEPT_OF_ONE // 2 :]
            known.until = known.rows[-1].first

    def remove(self, row: AvailableRow) -> None:
        """One less."""
        self._table.delete(row)
        known = self._lowest.get(row.sku)
        if known is None or row.first > known.until:
            return
        at = bisect_left(known.rows, row)
        if known.rows[at : at + 1] != [row]:
            raise InvariantError(f"units {row.first}-{row.last} of {row.sku} are no range that is available")
        del known.rows[at]
        self._kept -= 1

    def write_back(self) -> None:
        """Bring the database up to date."""
        self._table.write_back()
        if self._kept > KEPT_OF_ALL or len(self._lowest) > KEPT_SKUS:
            self._lowest.clear()
            self._kept = 0

    def _known(self, sku: str) -> _Lowest:
        """What memory has of a sku; once all of it was used up, or if there is nothing yet, the next ones are read."""
        known = self._lowest.get(sku)
        if known is None:
            known = self._lowest[sku] = _Lowest()
        if not known.rows and known.until < MAX_UNIT:
            question = "first > ? ORDER BY first LIMIT ?"
            known.rows = self._table.under(sku, question, known.until, READ_AT_ONCE)
            self._kept += len(known.rows)
            known.until = known.rows[-1].first if len(known.rows) == READ_AT_ONCE else MAX_UNIT
        return known
