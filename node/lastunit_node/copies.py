"""A copy of the state for a node that is too far behind: made from one snapshot, verified before it is used.

The copy is a whole state database. What travels beside it (CopyInfo) says which index it stands at and what its bytes
are; its own digest is held against its rows, so that neither a damaged transfer nor a damaged source is installed.
"""

import hashlib
import shutil
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from lastunit_node import sqlite
from lastunit_node.durable_files import sync
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.errors import StateDamaged, StateFormatError, StateIdentityError
from lastunit_node.statemachine.integrity import check_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.wal.scan import wal_of
from lastunit_node.wide_scan import WideScan

_READ_BYTES: Final = 1 << 20


class CopyRefused(Exception):
    """A copy is damaged or is not what it says; it was not used."""


class NoRoom(Exception):
    """The disk has too little room for a copy; it was not made."""


class SourceDamaged(Exception):
    """The state that was to be copied cannot be read: its cause says why."""


class NotCopied(Exception):
    """The system refused a read or a write; the message says why. That says nothing about the state."""


class CopyInfo(NamedTuple):
    """What a copy is to be: the applied index and its term, size in bytes, SHA-256 of the file."""

    applied_index: int
    applied_term: int
    size: int
    sha256: bytes


def make_copy(state: Path, target: Path) -> CopyInfo:
    """Write one snapshot of a state database to a new file. Its writer goes on meanwhile.

    Raises NoRoom, SourceDamaged, NotCopied.
    """
    try:
        return _make_copy(state, target)
    except (sqlite.Error, OSError) as problem:
        if isinstance(problem, OSError) or sqlite.has_disk_failed(problem):
            raise NotCopied(str(problem)) from problem
        raise


def _make_copy(state: Path, target: Path) -> CopyInfo:
    discard_copy(target)
    require_room(target.parent, sum(file.stat().st_size for file in (state, wal_of(state)) if file.exists()))
    with (
        closing(sqlite.connect(state, "ro")) as source,
        closing(sqlite.connect(target)) as copy,
    ):
        copy.execute("PRAGMA synchronous = OFF")  # who receives it makes it durable
        sqlite.add_checksums(copy)  # first: those that come with the pages may be older than what is in the -wal
        try:
            with copy.backup("main", source, "main") as pages:
                pages.step(-1)  # all, in one read transaction: a twentieth of the time that VACUUM INTO takes
        except sqlite.READ_ERRORS as problem:
            if sqlite.is_unreadable(problem):
                raise SourceDamaged from problem
            raise
        copy.execute("PRAGMA journal_mode = DELETE")  # one file is all of it
    index, term = _position(target)
    return CopyInfo(index, term, target.stat().st_size, file_hash(target))


def require_room(folder: Path, size: int) -> None:
    """Raise NoRoom unless a copy of so many bytes leaves as much again: a full disk would stop the node."""
    free = shutil.disk_usage(folder).free
    if free < 2 * size:
        raise NoRoom(f"a copy of {size} bytes has no room in {folder}, where {free} are free: it takes twice its size")


def discard_copy(path: Path) -> None:
    """Delete a copy, or what there is of it, and what SQLite left beside it."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _position(path: Path) -> tuple[int, int]:
    with closing(sqlite.connect(path, "ro")) as connection:
        index, term = sqlite.only_row(connection, "SELECT applied_index, applied_term FROM state")
    return index, term


def file_hash(path: Path) -> bytes:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.digest()


def adopt_copy(path: Path, lasting: Path, info: CopyInfo, identity: Identity) -> None:
    """Verify a received file, make it this node's own and give it its lasting name, all of it durably.

    Raises CopyRefused: throw it away.
    """
    if file_hash(path) != info.sha256:
        raise CopyRefused(f"{path} is not what was sent: its bytes were damaged on the way, or some are missing")
    try:
        _sign(path, identity)
        connection = open_state(path, identity=identity)
        try:
            with WideScan(path) as scan:
                check_state(connection, path, scan.digest, scan.problem_of_indexes)
            _check_position(StateMachine(connection), info, path)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except (*sqlite.READ_ERRORS, StateDamaged, StateFormatError, StateIdentityError) as problem:
        raise CopyRefused(f"{path} is not the state it is said to be: {sqlite.say(problem)}") from problem
    sync(path)
    path.rename(lasting)
    sync(lasting.parent)


def _sign(path: Path, identity: Identity) -> None:
    """Write the new owner's name over the old one's; the cluster must be the same."""
    with closing(sqlite.connect(path, "rw")) as connection:
        connection.execute("UPDATE identity SET node = ? WHERE cluster_id = ?", (identity.node, identity.cluster_id))


def _check_position(machine: StateMachine, info: CopyInfo, path: Path) -> None:
    if (machine.applied_index, machine.applied_term) != (info.applied_index, info.applied_term):
        raise CopyRefused(f"{path} stands at index {machine.applied_index}, not at {info.applied_index} as announced")
