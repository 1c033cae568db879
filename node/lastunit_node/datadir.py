"""A node's data directory: whose it is, that it is whole, and that one process at a time uses it.

    identity.json   cluster name, cluster id, node name, format version
    state.db        the state machine's database
    journal.db      Raft's log, term and vote
    LOCK            held for the life of the process (flock)

A directory is made once, by format_directory, when the cluster is born. A node never makes one for itself: a directory
that is empty or lacks a file is a lost disk, and a lost disk must not vote as if it were new (pysyncobj.md, rule 9).
"""

import fcntl
import json
import os
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lastunit_node.replica.journal import SqliteJournal, create_journal
from lastunit_node.statemachine.database import Identity as StateIdentity
from lastunit_node.statemachine.database import open_reader, open_state

FORMAT_VERSION: Final = 1
IDENTITY: Final = "identity.json"
STATE: Final = "state.db"
JOURNAL: Final = "journal.db"
LOCK: Final = "LOCK"


class DirectoryRefused(Exception):
    """The data directory cannot be used like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose data a directory holds."""

    format: int
    cluster: str
    cluster_id: str
    node: str


def format_directory(path: Path, cluster: str, cluster_id: str, node: str) -> None:
    """Make the data of a new node, identity last, so that a half-made directory is not taken for a whole one."""
    for name in (IDENTITY, STATE, JOURNAL):
        if (path / name).exists():
            raise DirectoryRefused(f"{path} already holds {name} and is not formatted again; remove it first")
    path.mkdir(parents=True, exist_ok=True)
    open_state(path / STATE, identity=StateIdentity(cluster_id, node)).close()
    create_journal(path / JOURNAL, cluster_id, node)
    identity = Identity(FORMAT_VERSION, cluster, cluster_id, node)
    _write_durably(path / IDENTITY, json.dumps(asdict(identity), indent=2) + "\n")


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class DataDirectory:
    """An existing directory, locked by this process for as long as the object lives."""

    def __init__(self, path: Path, cluster: str, node: str) -> None:
        """Lock and check. Raises DirectoryRefused."""
        self._path = path
        if not (path / IDENTITY).is_file():
            raise DirectoryRefused(
                f"{path} holds no data of node {node}: `lastunit up` makes it for a new cluster; if this node had data "
                "before, its disk was lost and it must not start empty"
            )
        self._lock = self._take_lock()
        self.identity = self._read_identity()
        self._check_identity(cluster, node)
        for name in (STATE, JOURNAL):
            if not (path / name).is_file():
                raise DirectoryRefused(f"{path / name} is missing: part of this node's data was lost")

    def _take_lock(self) -> int:
        descriptor = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise DirectoryRefused(f"{self._path} is in use: is this node running already?") from None
        return descriptor

    def _read_identity(self) -> Identity:
        file = self._path / IDENTITY
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            version = values["format"]
            if version == FORMAT_VERSION:
                return Identity(**values)
        except (ValueError, KeyError, TypeError) as problem:
            raise DirectoryRefused(f"{file} is damaged: {problem}") from None
        raise DirectoryRefused(f"{file} has format {version}, this lastunit knows {FORMAT_VERSION}: upgrade lastunit")

    def _check_identity(self, cluster: str, node: str) -> None:
        found = self.identity
        if found.cluster != cluster:
            raise DirectoryRefused(f"{self._path} belongs to cluster {found.cluster!r}, not to {cluster!r}")
        if found.node != node:
            raise DirectoryRefused(f"{self._path} belongs to node {found.node!r}, not to {node!r}")

    def open_journal(self) -> SqliteJournal:
        """The journal. Raises JournalDamaged, JournalFormatError."""
        return SqliteJournal(self._path / JOURNAL, self.identity.cluster_id, self.identity.node)

    def open_state(self) -> sqlite3.Connection:
        """The state, for writing. Raises statemachine.database's errors."""
        owner = StateIdentity(self.identity.cluster_id, self.identity.node)
        return open_state(self._path / STATE, identity=owner)

    def open_reader(self) -> sqlite3.Connection:
        """The state, for snapshots only."""
        return open_reader(self._path / STATE)
