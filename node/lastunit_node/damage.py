"""What stops a node, or keeps it from starting, in one line for its operator: what happened, and what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from lastunit_node import sqlite
from lastunit_node.replica.journal import JournalDamaged
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.wal.scan import wal_of

DAMAGE: Final = (JournalDamaged, StateDamaged)
REJOIN: Final = (
    "`lastunit-node rejoin` (in the local cluster: `lastunit rejoin NODE`) puts the data aside and lets the node catch "
    "up from the others"
)
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FAILED: Final = frozenset({errno.EIO, errno.EROFS, errno.EACCES})

_READ_BYTES: Final = 1 << 20


def explain(problem: BaseException, directory: Path) -> str:
    """One line about a problem of the node whose data is in `directory`."""
    text = " ".join(sqlite.say(problem).split())
    if isinstance(problem, DAMAGE):
        return (
            f"{text}. This data must not be used any more. The other nodes have all that was acknowledged, and go on: "
            f"leave this node stopped. {REJOIN}. Put no older copy of {directory} in its place: that would have "
            "forgotten votes and acknowledgements"
        )
    if _is_full(problem):
        return (
            f"disk full: free space on the file system of {directory}, then start the node again; "
            f"nothing acknowledged was lost ({text})"
        )
    if sqlite.is_locked(problem):
        return (
            f"another program, such as sqlite3, kept a database in {directory} locked for longer than a node waits: "
            f"end it (fuser names it), then start the node again; nothing acknowledged was lost ({text})"
        )
    if has_disk_failed(problem):
        return (
            f"the disk refused a read or a write in {directory}: see to the disk, its mount and limits of file sizes, "
            f"then start the node again; nothing acknowledged was lost ({text})"
        )
    if sqlite.is_unreadable(problem):
        return (
            f"SQLite can make no sense of what it read in {directory} ({text}): the data is damaged, or the disk "
            "refused a read. `lastunit-node verify` tells: if the data is whole, start the node again; else leave it "
            f"stopped. {REJOIN}"
        )
    if is_from_system(problem):
        return (
            f"the system refused it: {text}. See to that (data_dir in the cluster file says where the data lies), then "
            "try again; it says nothing about the data"
        )
    return text


def is_from_system(problem: BaseException) -> bool:
    """Whether the operating system refused a call, for whatever reason."""
    return isinstance(problem, OSError) and problem.errno is not None


def has_disk_failed(problem: BaseException) -> bool:
    """Whether the operating system would not read or write, for want of room or otherwise: the data is not to blame."""
    if isinstance(problem, OSError):
        return problem.errno in FULL | FAILED
    return sqlite.has_disk_failed(problem)


def _is_full(problem: BaseException) -> bool:
    if isinstance(problem, OSError):
        return problem.errno in FULL
    return sqlite.result_code(problem) == apsw.SQLITE_FULL


@contextmanager
def unreadable_is(damaged: type[JournalDamaged | StateDamaged], path: Path) -> Iterator[None]:
    """While a database is opened: what SQLite can make no sense of is damage.

    A disk that fails stays sqlite.Error, or is OSError where SQLite takes it for damage.
    """
    try:
        yield
    except (*sqlite.READ_ERRORS, damaged) as problem:
        if has_disk_failed(problem):
            raise
        _require_readable(path)
        if isinstance(problem, damaged):
            raise
        raise damaged(f"{path} is damaged: {sqlite.say(problem)}") from problem


def _require_readable(database: Path) -> None:
    """Raise OSError when the system refuses to read a database or its -wal: SQLite calls that malformed at times.

    It does where EIO meets it within a statement. What only the disk withholds must not be given up.
    """
    for path in (database, wal_of(database)):
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass
