"""A copy of the state for a node that is too far behind: made from one snapshot, verified before it is used.

The copy is a whole state database. What travels beside it (CopyInfo) says which index it stands at and what its bytes
are; its own digest is held against its rows, so that neither a damaged transfer nor a damaged source is installed.
"""

import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.errors import StateDamaged, StateFormatError, StateIdentityError
from lastunit_node.statemachine.integrity import check_state
from lastunit_node.statemachine.machine import StateMachine

_READ_BYTES: Final = 1 << 20


class CopyRefused(Exception):
    """A copy is damaged or is not what it says; it was not used."""


class CopyInfo(NamedTuple):
    """What a copy is to be: the applied index and its term, size in bytes, SHA-256 of the file."""

    applied_index: int
    applied_term: int
    size: int
    sha256: bytes


def make_copy(state: Path, target: Path) -> CopyInfo:
    """Write one snapshot of a state database to a new file. Its writer goes on meanwhile."""
    target.unlink(missing_ok=True)
    connection = sqlite3.connect(f"{state.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
    index, term = _position(target)
    return CopyInfo(index, term, target.stat().st_size, file_hash(target))


def _position(path: Path) -> tuple[int, int]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        index, term = connection.execute("SELECT applied_index, applied_term FROM state").fetchone()
    finally:
        connection.close()
    return index, term


def file_hash(path: Path) -> bytes:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.digest()


def adopt_copy(path: Path, info: CopyInfo, identity: Identity) -> None:
    """Verify a received file and make it this node's own; its bytes are durable. Raises CopyRefused: throw it away."""
    if path.stat().st_size != info.size or file_hash(path) != info.sha256:
        raise CopyRefused(f"{path} is not what was sent: its bytes were damaged on the way")
    try:
        _sign(path, identity)
        connection = open_state(path, identity=identity)
        try:
            check_state(connection, path)
            _check_position(StateMachine(connection), info, path)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except (sqlite3.DatabaseError, StateDamaged, StateFormatError, StateIdentityError) as problem:
        raise CopyRefused(f"{path} is not the state it is said to be: {problem}") from problem
    sync_to_disk(path)


def _sign(path: Path, identity: Identity) -> None:
    """Write the new owner's name over the old one's; the cluster must be the same."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("UPDATE identity SET node = ? WHERE cluster_id = ?", (identity.node, identity.cluster_id))
    finally:
        connection.close()


def _check_position(machine: StateMachine, info: CopyInfo, path: Path) -> None:
    if (machine.applied_index, machine.applied_term) != (info.applied_index, info.applied_term):
        raise CopyRefused(f"{path} stands at index {machine.applied_index}, not at {info.applied_index} as announced")


def sync_to_disk(path: Path) -> None:
    """Let a file's bytes, or a directory's names, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
