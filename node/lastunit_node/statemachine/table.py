"""A table of the state in memory, SQLite behind it: reads by key from memory, writes written back many at a time.

The database has the rows as of the last write_back(). Memory has those that changed since then, and, as long as there
is room, those that were read or written before: what was sold a moment ago is what is confirmed or asked for next.
A question by condition writes back first and then asks SQLite, which sees every row; one that is only about keys that
begin alike writes back only if such a row changed.

The machine is the database's only writer, so nothing here can be out of date; who changes the file behind its back is
found by the digest (replica/scanner.py), not by this.
"""

from collections.abc import Callable, Iterable
from json import dumps
from typing import Any, Final, Generic

from lastunit_node import sqlite
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.tables import RowT, Schema, select

KEPT_ROWS: Final = 16_384  # of one table, beside those that wait to be written back
_UNKNOWN: Final[Any] = object()

Key = tuple[Any, ...]
Follow = Callable[[RowT | None, RowT | None], None]  # sees a row as the database has it, and as it will


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
        follow: Follow[RowT] | None = None,
    ) -> None:
        self._connection = connection
        self._follow = follow
        self._schema = schema
        self._hashes = None if digest is None else digest.of_table(schema.seed)
        self._width = schema.key
        self._rows: dict[Key, RowT | None] = {}  # as they stand; None: there is no such row
        self._changed: dict[Key, RowT | None] = {}  # keys to write back, and the rows that the database has there
        self._begun: set[Key] = set()  # the first columns of those keys
        name, columns = schema.name, schema.columns
        key = " AND ".join(f"{column} = ?" for column in columns[: schema.key]) or "only_row = 1"
        places = ", ".join("?" * len(columns))
        self._select = select(schema)
        self._get = f"{self._select} WHERE {key}"
        self._insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
        changes = ", ".join(f"{column} = ?" for column in columns[schema.key :])
        self._update = f"UPDATE {name} SET {changes} WHERE {key}"  # noqa: S608
        self._delete = f"DELETE FROM {name} WHERE {key}"  # noqa: S608
        self._under = f"{self._select} WHERE {columns[0]} = ? AND"
        self._prefetch = f"SELECT {', '.join(columns)} FROM json_each(?) CROSS JOIN {name} ON {columns[0]} = value"  # noqa: S608
        self._above = f"SELECT max({columns[0]}) FROM {name} WHERE {columns[0]} >= ? AND {columns[0]} < ?"  # noqa: S608
        self._largest: dict[str, str] = {}  # see _largest_like()

    def _largest_like(self, name: str) -> str:
        """No row has a larger key that begins with the same character, of one column; "" when none begins so.

        A larger one is not looked for. Ids that begin with the time are such (the client's ids.py), whatever other ids
        look like.
        """
        first = name[:1]
        largest = self._largest.get(first)
        if largest is None:
            (found,) = sqlite.only_row(self._connection, self._above, (first, chr(ord(first) + 1)))
            largest = self._largest[first] = found or ""
        return largest

    def get(self, *key: object) -> RowT | None:
        """The row of this primary key."""
        row = self._rows.get(key, _UNKNOWN)
        if row is _UNKNOWN:
            found = self._connection.execute(self._get, key).fetchone()
            row = self._rows[key] = None if found is None else self._schema.make(found)
        return row

    def prefetch(self, names: Iterable[str]) -> None:
        """Read the rows under these keys, of one column, in one go: what follows finds them in memory."""
        rows, unknown = self._rows, []
        for name in names:
            key = (name,)
            if key in rows:
                continue
            if name > self._largest_like(name):
                rows[key] = None
            else:
                unknown.append(name)
        if len(unknown) < 2:
            return
        rows.update(dict.fromkeys(zip(unknown, strict=True)))
        for found in self._connection.execute(self._prefetch, (dumps(unknown),)):
            self._rows[found[:1]] = self._schema.make(found)

    def where(self, condition: str, *parameters: object) -> list[RowT]:
        """Rows by a condition that ends in ORDER BY: what is read unordered is not the same on every node."""
        self.write_back()
        found = self._connection.execute(f"{self._select} WHERE {condition}", parameters)
        return [self._schema.make(row) for row in found.fetchall()]

    def under(self, first: object, condition: str, *parameters: object) -> list[RowT]:
        """Rows whose key begins with `first`, by a condition that ends in ORDER BY."""
        if (first,) in self._begun:
            self.write_back()
        found = self._connection.execute(f"{self._under} {condition}", (first, *parameters))
        return [self._schema.make(row) for row in found.fetchall()]

    def count(self, condition: str) -> int:
        """How many rows are like this."""
        self.write_back()
        (found,) = sqlite.only_row(self._connection, f"SELECT count(*) FROM {self._schema.name} WHERE {condition}")  # noqa: S608
        return int(found)

    def insert(self, row: RowT) -> None:
        """Add a row."""
        key = row[: self._width]
        if self._rows.get(key) is not None:
            raise InvariantError(f"{self._schema.name} has a row {key!r} already")
        self._rows[key] = row
        self._changed.setdefault(key, None)
        if self._width == 1:
            self._largest[row[0][:1]] = max(self._largest_like(row[0]), row[0])
        else:
            self._begun.add(key[:1])
        if self._hashes is not None:
            self._hashes.came.append(row)

    def replace(self, old: RowT, new: RowT) -> None:
        """Put `new`, of the same primary key, in the place of `old`."""
        key = old[: self._width]
        self._rows[key] = new
        self._changed.setdefault(key, old)
        self._begun.add(key[:1])
        if self._hashes is not None:
            self._hashes.went.append(old)
            self._hashes.came.append(new)

    def delete(self, old: RowT) -> None:
        """Take `old` away."""
        key = old[: self._width]
        self._rows[key] = None
        self._changed.setdefault(key, old)
        self._begun.add(key[:1])
        if self._hashes is not None:
            self._hashes.went.append(old)

    def write_back(self) -> None:
        """Bring the database up to date, in the transaction that is open, or in a new one.

        Raises InvariantError when its rows are not those that were read, sqlite.ConstraintError when a new row has no
        room.
        """
        if self._changed:
            self._write_changes()
        if len(self._rows) > KEPT_ROWS:  # rows that were only asked for are counted too
            self._rows.clear()

    def _write_changes(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        inserted: list[Key] = []
        updated: list[Key] = []
        deleted: list[Key] = []
        for key, stored in self._changed.items():
            row = self._rows[key]
            if self._follow is not None:
                self._follow(stored, row)
            if row is None:
                if stored is not None:
                    deleted.append(key)
            elif stored is not None:
                updated.append(row[self._width :] + key)
            else:
                inserted.append(row)
        self._changed.clear()
        self._begun.clear()
        self._touch(self._delete, deleted)
        self._touch(self._update, updated)
        if inserted:
            self._connection.executemany(self._insert, inserted)

    def _touch(self, statement: str, parameters: list[Key]) -> None:
        if not parameters:
            return
        before = self._connection.total_changes()
        self._connection.executemany(statement, parameters)
        if self._connection.total_changes() - before != len(parameters):
            raise InvariantError(f"a row of {self._schema.name} is gone: one of {parameters[:3]!r}")
