"""The one row of a journal that says whose disk it is, and where the log on it begins. Pure."""

import zlib
from typing import Final, NamedTuple

OWNER_TABLE: Final = """
CREATE TABLE owner (
  only INTEGER PRIMARY KEY CHECK (only = 1), cluster_id TEXT NOT NULL, node TEXT NOT NULL, instance TEXT NOT NULL,
  founding INTEGER NOT NULL, admitted INTEGER NOT NULL, boots INTEGER NOT NULL, first_index INTEGER NOT NULL,
  state_file TEXT NOT NULL, is_open INTEGER NOT NULL, crc INTEGER NOT NULL
) STRICT
"""


class Owner(NamedTuple):
    """Whose disk this is.

    instance: random id of the disk, so that a node that lost its disk is not taken for what it was. founding: 1 for a
    disk of a new cluster, 0 for one that was made later, in the place of another. admitted: log index at which this
    disk was admitted, as far as it is known here; 0 before. boots: openings so far. first_index: of the sentinel.
    is_open: 1 from an opening until the journal is closed in order, which leaves no -wal behind: a file that says 1 and
    has no -wal lacks what was written last.
    """

    cluster_id: str
    node: str
    instance: str
    founding: int
    admitted: int = 0
    boots: int = 0
    first_index: int = 0
    state_file: str = "state.db"
    is_open: int = 0

    def row(self) -> tuple[int | str, ...]:
        """The columns, with their CRC behind them."""
        return (*self, _crc(tuple(self)))

    @classmethod
    def of(cls, row: tuple[object, ...]) -> "Owner | None":
        """The owner in such a row; None when it is not as it was written, in whose columns may be anything."""
        return cls._make(row[:-1]) if row[-1] == _crc(row[:-1]) else None


def _crc(columns: tuple[object, ...]) -> int:
    return zlib.crc32(repr(columns).encode())


_COLUMNS: Final = ", ".join((*Owner._fields, "crc"))
_PLACES: Final = ", ".join("?" * (len(Owner._fields) + 1))
SELECT_OWNER: Final = f"SELECT {_COLUMNS} FROM owner"  # noqa: S608 - our own constants, here and below
INSERT_OWNER: Final = f"INSERT INTO owner (only, {_COLUMNS}) VALUES (1, {_PLACES})"  # noqa: S608
UPDATE_OWNER: Final = f"UPDATE owner SET ({_COLUMNS}) = ({_PLACES})"  # noqa: S608
