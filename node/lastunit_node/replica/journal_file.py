"""What a journal's file looks like: its tables, the checksum that every row carries, and how a new one is made."""

import secrets
import struct
import zlib
from pathlib import Path
from typing import Final

from lastunit_node import sqlite
from lastunit_node.replica.owner import INSERT_OWNER, OWNER_TABLE, Owner
from lastunit_node.wal.grow import PAGE_BYTES

FORMAT_VERSION: Final = 2
SENTINEL_BYTES: Final = b""

_SCHEMA: Final = f"""{OWNER_TABLE};
CREATE TABLE entry (
  idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, bytes BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE vote (
  only INTEGER PRIMARY KEY CHECK (only = 1), term INTEGER NOT NULL, voted_for TEXT, crc INTEGER NOT NULL
) STRICT;
"""


def entry_crc(index: int, term: int, data: bytes) -> int:
    """CRC-32 over index, term and bytes of an entry."""
    return zlib.crc32(data, zlib.crc32(struct.pack("<QQ", index, term)))


def is_intact(index: int, term: object, data: object, crc: object) -> bool:
    """Damage turns a column into anything; compiled code takes no argument of another type than is declared."""
    if type(term) is not int or type(data) is not bytes:
        return False
    return term >= 0 and crc == entry_crc(index, term, data)


def vote_crc(term: object, voted_for: object) -> int:
    """CRC-32 over term and vote, of whatever type a row has them."""
    return zlib.crc32(repr((term, voted_for)).encode())


def create_journal(
    path: Path, cluster_id: str, node: str, *, founding: bool = True, instance: str | None = None
) -> None:
    """Make the journal of a new disk: a sentinel at (0, 0), term 0, no vote. The path must not exist.

    founding: for a cluster that is being born; else the disk counts only once it is admitted (admission.py).
    instance: the disk's id, random when it is not given.
    """
    if path.exists():
        raise FileExistsError(path)
    connection = sqlite.connect(path)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL")
    connection.execute(f"BEGIN IMMEDIATE; {_SCHEMA}")
    owner = Owner(cluster_id, node, instance or secrets.token_hex(8), int(founding))
    connection.execute(INSERT_OWNER, owner.row())
    connection.execute("INSERT INTO entry VALUES (0, 0, ?, ?)", (SENTINEL_BYTES, entry_crc(0, 0, SENTINEL_BYTES)))
    connection.execute("INSERT INTO vote VALUES (1, 0, NULL, ?)", (vote_crc(0, None),))
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    connection.execute("COMMIT")
    connection.close()
