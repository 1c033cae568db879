"""Real -wal files, and what happens to files: bytes flipped, ends torn off, checksums made."""

import struct
from collections.abc import Sequence
from pathlib import Path

from lastunit_node import sqlite
from lastunit_node.wal.layout import FRAME_HEADER_BYTES, HEADER_BYTES

PAGE = 512
FRAME = FRAME_HEADER_BYTES + PAGE


class Log(bytes):
    """The bytes of a -wal; a failing test does not print them all."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes of log>"


def write_log(path: Path, transactions: Sequence[int], *, earlier: int = 0) -> Log:
    """The -wal of a database of small pages after transactions of about so many pages each, as a kill leaves it.

    earlier: transactions of a log before it, in the same file, whose frames lie behind its end.
    """
    connection = sqlite.connect(path)
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, filler BLOB)")
    for _ in range(earlier):
        insert(connection, 2)
    connection.execute(f"PRAGMA wal_checkpoint({'PASSIVE' if earlier else 'TRUNCATE'})")
    for pages in transactions:
        insert(connection, pages)
    data = Log(wal_of(path).read_bytes())
    database = path.read_bytes()
    connection.close()
    path.write_bytes(database)
    return data


def insert(connection: sqlite.Connection, pages: int) -> None:
    """One transaction."""
    connection.execute("BEGIN")
    for _ in range(pages):
        connection.execute("INSERT INTO t (filler) VALUES (randomblob(400))")
    connection.execute("COMMIT")


def wal_of(path: Path) -> Path:
    """Where the -wal of a database is."""
    return path.with_name(path.name + "-wal")


def flipped(data: bytes, position: int, mask: int = 1) -> bytes:
    """With some bits of one byte turned over."""
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


def frames_used_by_sqlite(path: Path, data: bytes) -> int:
    """How many frames SQLite finds in a -wal. The database stays as it is."""
    database = path.read_bytes()
    wal_of(path).write_bytes(data)
    connection = sqlite.connect(path)
    (_, used, _) = sqlite.only_row(connection, "PRAGMA wal_checkpoint(PASSIVE)")
    connection.close()
    path.write_bytes(database)
    return int(used)


def in_the_other_byte_order(data: bytes) -> bytes:
    """The same log as a machine of the other byte order writes it. Written from SQLite's format document anew."""
    magic = int.from_bytes(data[:4], "big") ^ 1
    order = ">" if magic & 1 else "<"
    header = magic.to_bytes(4, "big") + data[4 : HEADER_BYTES - 8]
    sums = summed((0, 0), header, order)
    result = header + struct.pack(">II", *sums)
    for start in range(HEADER_BYTES, len(data), FRAME):
        head, page = data[start : start + 16], data[start + FRAME_HEADER_BYTES : start + FRAME]
        sums = summed(summed(sums, head[:8], order), page, order)
        result += head + struct.pack(">II", *sums) + page
    return result


def summed(sums: tuple[int, int], data: bytes, order: str) -> tuple[int, int]:
    """The running checksum of a log, which is that of a page too."""
    first, second = sums
    for even, odd in struct.iter_unpack(f"{order}II", data):
        first = (first + even + second) % 2**32
        second = (second + odd + first) % 2**32
    return first, second


def with_checksum(page: bytes) -> bytes:
    """A page of a state with the checksum of what is in it now."""
    return page[:-8] + struct.pack("<II", *summed((0, 0), page[:-8], "<"))
