"""A table of the state in memory, SQLite behind it: reads by key from memory, writes written back many at a time.

The database has the rows as of the last write_back(). Memory has those that changed since then, and, as long as there
is room, those that were read or written before: what was sold a moment ago is what is confirmed or asked for next.
A question by condition writes back first and then asks SQLite, which sees every row; one that is only about keys that
begin alike writes back only if such a row changed.

The machine is the database's only writer, so nothing here can be out of date; who changes the file behind its back is
found by the digest (replica/scanner.py), not by this.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from json import dumps
from typing import Any, Final, Generic

from lastunit_node import sqlite
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.tables import LAST_KEY, RowT, Schema, select

KEPT_ROWS: Final = 4_096  # of one table, beside those that wait to be written back; more leave no room in a CPU's cache
_UNKNOWN: Final[Any] = object()
_HITS_TO_PAY: Final = 2  # keys in a gap that make up for looking for it
_TOGETHER: Final = 16  # rows that one INSERT writes: a row takes a fifth less time than by itself

Key = Any  # of a table with one key column its value, else a tuple of the values of all
Row = tuple[Any, ...]
Follow = Callable[[Iterable[Row], Iterable[Row]], None]  # sees the rows that the database loses, and those it gets


class _Gap:
    """Between these keys, of one column, the database had no row when it was asked: what came since is in memory."""

    __slots__ = ("high", "hits", "low")

    def __init__(self, low: str, high: str) -> None:
        self.low = low
        self.high = high
        self.hits = 0  # keys that were not looked for


class Table(Generic[RowT]):
    """Rows by key. A row that is changed or taken away is given as it stands.

    digest: kept in step with every write; None for a table that only serves as an index, which the digest leaves out.
    follow: told of every change as it is written back; what a row was in between it never sees.
    """

    def __init__(
        self,
        connection: sqlite.Connection,
        schema: Schema[RowT],
        digest: Digest | None,
        follow: Follow | None = None,
    ) -> None:
        self._connection = connection
        self._follow = follow
        self._schema = schema
        self._hashes = None if digest is None else digest.of_table(schema.seed)
        self._width = schema.key
        self._rows: dict[Key, Row | None] = {}  # as they stand; None: there is no such row
        self._new: dict[Key, Row] = {}  # those of them whose key the database does not have
        self._changed: dict[Key, Row] = {}  # keys to write back that it has, and its rows there
        self._begun: set[object] = set()  # the first columns of those keys, where a key has several
        name, columns = schema.name, schema.columns
        key = " AND ".join(f"{column} = ?" for column in columns[: schema.key]) or "only_row = 1"
        places = f"({', '.join('?' * len(columns))})"
        self._select = select(schema)
        self._get = f"{self._select} WHERE {key}"
        self._insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES {places}"  # noqa: S608
        self._insert_together = self._insert + f", {places}" * (_TOGETHER - 1)
        changes = ", ".join(f"{column} = ?" for column in columns[schema.key :])
        self._update = f"UPDATE {name} SET {changes} WHERE {key}"  # noqa: S608
        self._delete = f"DELETE FROM {name} WHERE {key}"  # noqa: S608
        self._under = f"{self._select} WHERE {columns[0]} = ? AND"
        self._prefetch = f"SELECT {', '.join(columns)} FROM json_each(?) CROSS JOIN {name} ON {columns[0]} = value"  # noqa: S608
        below = f"SELECT max({columns[0]}) FROM {name} WHERE {columns[0]} <= ?"  # noqa: S608
        above = f"SELECT min({columns[0]}) FROM {name} WHERE {columns[0]} > ?"  # noqa: S608
        self._neighbours = f"SELECT ({below}), ({above})"
        self._gaps: dict[str, _Gap] = {}  # the last one found, by the first character of keys in it

    def get(self, key: Key) -> RowT | None:
        """The row of this primary key."""
        row = self.find(key)
        if type(row) is tuple:
            made = self._rows[key] = self._schema.make(row)
            return made
        return row  # type: ignore[return-value]  # is one

    def find(self, key: Key) -> Row | None:
        """The same, as it is in memory: a RowT or a plain tuple."""
        row = self._rows.get(key, _UNKNOWN)
        if row is _UNKNOWN:
            row = self._connection.execute(self._get, (key,) if self._width == 1 else key).fetchone()
            self._rows[key] = row
        return row  # type: ignore[no-any-return]

    def prefetch(self, names: Iterable[str]) -> None:
        """Read the rows under these keys, of one column, in one go: what follows finds them in memory."""
        unknown = [name for name in names if name not in self._rows]
        if len(unknown) < 2:
            return
        self._rows.update(dict.fromkeys(unknown))
        for found in self._connection.execute(self._prefetch, (dumps(unknown),)):
            self._rows[found[0]] = found

    def prefetch_new(self, names: Iterable[str]) -> None:
        """The same for keys of which most have no row: those that lie in a gap that was found before cost nothing.

        Ids that begin with the time, or end in a number that counts up, do. One look for a gap a call may be in vain.
        """
        unknown = []
        in_vain = False
        for name in names:
            if name in self._rows:
                continue
            gap = self._gaps.get(name[:1])
            if gap is not None and gap.low < name < gap.high:
                gap.hits += 1
                self._rows[name] = None
                continue
            if not in_vain:
                in_vain = gap is None or gap.hits < _HITS_TO_PAY
                if self._is_in_gap(name):
                    self._rows[name] = None
                    continue
            unknown.append(name)
        self.prefetch(unknown)

    def _is_in_gap(self, name: str) -> bool:
        """Whether the database has no row under this key, which is then remembered with the gap around it."""
        below, above = sqlite.only_row(self._connection, self._neighbours, (name, name))
        if below == name:
            return False
        self._gaps[name[:1]] = _Gap(below or "", above or LAST_KEY)
        return True

    def where(self, condition: str, *parameters: sqlite.Value) -> list[RowT]:
        """Rows by a condition that ends in ORDER BY: what is read unordered is not the same on every node."""
        self.write_back()
        found = self._connection.execute(f"{self._select} WHERE {condition}", parameters)
        return [self._schema.make(row) for row in found.fetchall()]

    def under(self, first: sqlite.Value, condition: str, *parameters: sqlite.Value) -> list[RowT]:
        """Rows whose key, of several columns, begins with `first`, by a condition that ends in ORDER BY."""
        if first in self._begun:
            self.write_back()
        found = self._connection.execute(f"{self._under} {condition}", (first, *parameters))
        return [self._schema.make(row) for row in found.fetchall()]

    def count(self, condition: str) -> int:
        """How many rows are like this."""
        self.write_back()
        (found,) = sqlite.only_row(self._connection, f"SELECT count(*) FROM {self._schema.name} WHERE {condition}")  # noqa: S608
        return int(found)

    def insert(self, row: Row) -> None:
        """Add a row: a RowT, or a plain tuple of the same, which takes a quarter of the time to make."""
        key = self._key(row)
        if self._rows.get(key) is not None:
            raise InvariantError(f"{self._schema.name} has a row {key!r} already")
        self._rows[key] = row
        if key not in self._changed:
            self._new[key] = row
        if self._hashes is not None:
            self._hashes.came.append(row)

    def replace(self, old: Row, new: Row) -> None:
        """Put `new`, of the same primary key, in the place of `old`."""
        key = self._key(old)
        self._rows[key] = new
        if key in self._new:
            self._new[key] = new
        else:
            self._changed.setdefault(key, old)
        if self._hashes is not None:
            self._hashes.went.append(old)
            self._hashes.came.append(new)

    def delete(self, old: Row) -> None:
        """Take `old` away."""
        key = self._key(old)
        self._rows[key] = None
        if self._new.pop(key, None) is None:
            self._changed.setdefault(key, old)
        if self._hashes is not None:
            self._hashes.went.append(old)

    def _key(self, row: Row) -> Key:
        """The key of a row that comes, changes or goes."""
        if self._width == 1:
            return row[0]
        if self._width:
            self._begun.add(row[0])
        return row[: self._width]

    def write_back(self) -> None:
        """Bring the database up to date, in the transaction that is open, or in a new one.

        Raises InvariantError when its rows are not those that were read, sqlite.ConstraintError when a new row has no
        room.
        """
        if self._changed or self._new:
            self._write_changes()
        if len(self._rows) > KEPT_ROWS:  # rows that were only asked for are counted too
            self._rows.clear()
            self._gaps.clear()

    def _write_changes(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        new = [self._new[key] for key in sorted(self._new)]  # neighbours together: a quarter less time for random keys
        standing = [(key, self._rows[key]) for key in self._changed]
        if self._follow is not None:
            self._follow(self._changed.values(), [row for _, row in standing if row is not None] + new)
        deleted = [key if self._width != 1 else (key,) for key, row in standing if row is None]
        updated = [row[self._width :] + row[: self._width] for _, row in standing if row is not None]
        self._new.clear()
        self._changed.clear()
        self._begun.clear()
        self._touch(self._delete, deleted)
        self._touch(self._update, updated)
        self._add(new)

    def _touch(self, statement: str, parameters: list[Row]) -> None:
        if not parameters:
            return
        before = self._connection.total_changes()
        self._connection.executemany(statement, parameters)
        if self._connection.total_changes() - before != len(parameters):
            raise InvariantError(f"a row of {self._schema.name} is gone: one of {parameters[:3]!r}")

    def _add(self, rows: list[Row]) -> None:
        single = len(rows) % _TOGETHER
        if single:
            self._connection.executemany(self._insert, rows[:single])
        if single < len(rows):
            groups = [tuple(chain(*rows[at : at + _TOGETHER])) for at in range(single, len(rows), _TOGETHER)]
            self._connection.executemany(self._insert_together, groups)
