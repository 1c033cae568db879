"""SQLite as this node uses it: apsw's, in autocommit mode, one thread at a time.

The standard library's module gives up and takes back the interpreter's lock for every column of every row. Measured on
reservations, of 13 columns: a row read 1.3 us against 0.4 here, a row inserted 3.7 against 1.9. That was a third of a
start with a large state, and of a COMMIT of the state.

Every connection of a node is made here. Two builds of SQLite in one process, with the same file open, take each other's
locks away (https://www.sqlite.org/howtocorrupt.html, 2.2.1).

Databases made with checksums (add_checksums) have one in each page of their file: SQLite's own shim writes it when a
page is moved there from the -wal, and looks at it whenever one is read (https://www.sqlite.org/cksumvfs.html).
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw
from apsw import sqlite_extra

BUSY_MS: Final = 5_000  # how long to wait for another connection of this node: a checkpoint, a reader that begins
GIVE_WAY_STEPS: Final = 1_000  # of SQLite's virtual machine: what 25 orders cost a COMMIT, some 60 us
WRITTEN_MASK: Final = (1 << 31) - 1  # SQLite's count of pages begins again at 2^32, or 2^31, by its version
FLAGS: Final = {
    "ro": apsw.SQLITE_OPEN_READONLY,
    "rw": apsw.SQLITE_OPEN_READWRITE,
    "rwc": apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
}

Connection = apsw.Connection
Value = None | int | float | str | bytes  # that a column holds
Error = apsw.Error
ConstraintError = apsw.ConstraintError
READ_ERRORS: Final = (Error, UnicodeDecodeError)  # the latter by apsw itself, of a text that damage left no UTF-8
UNREADABLE: Final = (apsw.CorruptError, apsw.NotADBError)  # what is in the file makes no sense to SQLite
_CHECKSUM_BYTES: Final = 8  # at the end of a page
_LOOK_AT_NO_CHECKSUMS: Final = "PRAGMA checksum_verification = OFF"
DISK_FAILED: Final = frozenset(
    {
        apsw.SQLITE_FULL,
        apsw.SQLITE_IOERR,
        apsw.SQLITE_CANTOPEN,
        apsw.SQLITE_READONLY,
        apsw.SQLITE_PERM,
        apsw.SQLITE_BUSY,
        apsw.SQLITE_NOMEM,
    }
)


def _load_checksums() -> None:
    """Have them looked at, by every connection of this process from now on."""
    with closing(Connection(":memory:")) as connection:
        sqlite_extra.load(connection, "cksumvfs")


_load_checksums()


def connect(path: Path | str, mode: str = "rwc", *, checksums: bool = True) -> Connection:
    """Open a file: ro, rw, or rwc, which makes it when it does not exist.

    checksums: look at those that its pages have. Without SQLite's mutex, for one thread at a time: a row is read in a
    quarter less time, written in an eighth.
    """
    connection = Connection(str(path), flags=FLAGS[mode] | apsw.SQLITE_OPEN_NOMUTEX)
    connection.set_busy_timeout(BUSY_MS)
    if not checksums:
        connection.execute(_LOOK_AT_NO_CHECKSUMS)
    return connection


def connect_to_look(path: Path, *, checksums: bool = True) -> Connection:
    """Open a file that nobody writes, to read it, also where nothing can be written.

    SQLite would make a -wal there, and its -shm. Where there is one already, it reads it, if the -shm is there, too.
    """
    if os.access(path.parent, os.W_OK) or Path(f"{path}-wal").exists():
        return connect(path, "ro", checksums=checksums)
    connection = look_at(path)
    if not checksums:
        connection.execute(_LOOK_AT_NO_CHECKSUMS)
    return connection


def end(connection: Connection) -> None:
    """End a transaction that changed nothing, if it has not ended: a read that fails may have done so."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def add_checksums(connection: Connection) -> None:
    """Give each page of a database that has none yet a checksum."""
    connection.reserve_bytes(reserve=_CHECKSUM_BYTES)
    connection.execute("PRAGMA user_version = 0")  # makes the first page, which tells the shim


def has_checksums(connection: Connection) -> bool:
    """Whether the header of a database says that its pages have checksums."""
    return connection.reserve_bytes() == _CHECKSUM_BYTES


def look_at(path: Path) -> Connection:
    """Open a file that nobody else has open, without its -wal, and make none."""
    return Connection(f"file:{quote(str(path))}?immutable=1", flags=FLAGS["ro"] | apsw.SQLITE_OPEN_URI)


def checkpoint(connection: Connection) -> bool:
    """Move what was committed out of the -wal, as far as readers allow, waiting for nobody; whether that was all.

    Then all that was committed before is durable. False, too, while another connection is at it. Not in a transaction.
    """
    return checkpoint_but(connection) == 0


def checkpoint_but(connection: Connection) -> int | None:
    """The same; how many pages stay in the -wal because of a reader. None while another connection is at it."""
    busy, in_log, moved = only_row(connection, "PRAGMA wal_checkpoint(PASSIVE)")
    return None if busy else int(in_log - moved)


def shorten_wal(connection: Connection, pages: int, piece: int) -> None:
    """Have the next COMMIT that begins the -wal anew cut bytes off its file, if that is longer than so many pages.

    A piece at a time: a GiB kept that COMMIT, and with it all orders, for 0.2 s (measured).
    """
    longest = pages * int(only_row(connection, "PRAGMA page_size")[0])
    with suppress(FileNotFoundError):
        if (size := Path(connection.filename_wal).stat().st_size) > longest:
            connection.execute(f"PRAGMA journal_size_limit = {max(longest, size - piece)}")


class Checkpoints:
    """Those of a connection that alone writes its database: one, or a try, after so many pages written to the -wal.

    SQLite's own drop what goes wrong with them: on a disk that refuses the database file, the -wal grew for ever, and
    each COMMIT tried to move all of it again. A wal hook takes the interpreter's lock once more within each COMMIT.
    """

    def __init__(self, connection: Connection, pages: int) -> None:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._connection = connection
        self._pages = pages
        self._written = self._written_so_far()

    def after_commit(self) -> None:
        """Raises sqlite.Error; what was committed stays so."""
        written = self._written_so_far()
        if (written - self._written) & WRITTEN_MASK >= self._pages and checkpoint(self._connection):
            self._written = written

    def _written_so_far(self) -> int:
        return self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]


def leave_checkpoints(connection: Connection, told: Callable[[int], None]) -> None:
    """No checkpoints by this connection from now on, but by checkpoint(); told(pages in the -wal) after each COMMIT."""

    def committed(_connection: Connection, _name: str, pages: int) -> int:
        told(pages)
        return apsw.SQLITE_OK

    connection.set_wal_hook(committed)


def keep_wal(connection: Connection, *, keep: bool) -> None:
    """Whether the -wal stays when the last connection closes, be it by the end of the process; else it is deleted."""
    value = ctypes.c_int(keep)
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(value))


def give_way(connection: Connection) -> None:
    """Leave the processor now and then, to whoever waits for it, in the middle of whatever this connection does."""

    def progress() -> bool:
        os.sched_yield()
        return False  # true would interrupt

    connection.set_progress_handler(progress, GIVE_WAY_STEPS)


def result_code(problem: BaseException) -> int | None:
    """SQLite's primary result code; None for errors of apsw itself, and of anybody else."""
    return getattr(problem, "result", None) if isinstance(problem, Error) else None


def has_disk_failed(problem: BaseException) -> bool:
    """Whether this is SQLite saying that it could not read or write, for want of room or otherwise."""
    return result_code(problem) in DISK_FAILED and not _has_wrong_checksum(problem)


def is_locked(problem: BaseException) -> bool:
    """Whether this is SQLite saying that another connection kept a lock for longer than this one waits."""
    return result_code(problem) == apsw.SQLITE_BUSY


def is_unreadable(problem: BaseException) -> bool:
    """Whether this is SQLite saying that what it read makes no sense, or is not what was written."""
    return isinstance(problem, (*UNREADABLE, UnicodeDecodeError)) or _has_wrong_checksum(problem)


def say(problem: BaseException) -> str:
    """What it was, in words: SQLite calls a wrong checksum an I/O error, as it does a disk that fails."""
    return "the checksum of a page is not that of what is in it" if _has_wrong_checksum(problem) else str(problem)


def _has_wrong_checksum(problem: BaseException) -> bool:
    return getattr(problem, "extendedresult", None) == apsw.SQLITE_IOERR_DATA


def only_row(connection: Connection, question: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The answer to a question that has one row, always."""
    row: tuple[Any, ...]
    (row,) = connection.execute(question, parameters)
    return row
