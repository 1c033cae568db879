"""A node's data directory: whose it is, that it is whole, and that one process at a time uses it.

    identity.json   cluster name, cluster id, names of all members, node name, format version
    journal.db      Raft's log, term and vote, and the name of the state that it continues
    state.db        the state machine's database; state-N.db once a copy was installed at index N
    copy-*.db       a copy of the state on its way; removed at the next start
    LOCK            held for the life of the process (flock), as the directory is; the PID of the latest node is in it

A directory is made by format_directory: for every node when the cluster is born, and later by rejoin.py in the place
of a lost one. A node never makes one for itself: a directory that is empty or lacks a file is a lost disk, and a lost
disk must not vote as if it were new (docs/raft-rules.md, rule 9).
"""

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from lastunit_node import sqlite
from lastunit_node.damage import REJOIN, has_disk_failed, unreadable_is
from lastunit_node.durable_files import sync_above, write_durably
from lastunit_node.replica.journal import JournalDamaged, SqliteJournal
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.statemachine.database import Identity as StateIdentity
from lastunit_node.statemachine.database import check_owner, open_reader, open_state
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.integrity import check_state
from lastunit_node.statemachine.renewal import renew_checksums
from lastunit_node.statemachine.tables import Watch, scan_digest
from lastunit_node.wal.scan import WalScan, scan_wal, wal_of
from lastunit_node.wide_scan import WideScan, is_wide

_log = structlog.get_logger()

FORMAT_VERSION: Final = 2
IDENTITY: Final = "identity.json"
STATE: Final = "state.db"
JOURNAL: Final = "journal.db"
LEFTOVER: Final = re.compile(r"(state(-\d+)?|copy-(arriving|outgoing))\.db(-wal|-shm|-journal)?")
LOCK: Final = "LOCK"


class DirectoryRefused(Exception):
    """The data directory cannot be used like this; the message says why and what to do."""


class DirectoryInUse(DirectoryRefused):
    """Another process has it."""


class DirectoryLost(Exception):
    """The data directory, or data in it, was deleted or moved while it was in use."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose data a directory holds. members: names of all nodes of the cluster, in their order as text."""

    format: int
    cluster: str
    cluster_id: str
    members: tuple[str, ...]
    node: str


def format_directory(
    path: Path, cluster: str, cluster_id: str, members: Iterable[str], node: str, *, founding: bool = True
) -> None:
    """Make the data of a new disk, identity last, so that a half-made directory is not taken for a whole one.

    founding: for a cluster that is being born; else the disk takes the place of a lost one. Raises DirectoryRefused,
    and OSError of the system.
    """
    require_folders(path)
    for name in (IDENTITY, STATE, JOURNAL):
        if (path / name).exists():
            raise DirectoryRefused(f"{path} already holds {name} and is not formatted again; remove it first")
    path.mkdir(parents=True, exist_ok=True)
    open_state(path / STATE, identity=StateIdentity(cluster_id, node)).close()
    create_journal(path / JOURNAL, cluster_id, node, founding=founding)
    identity = Identity(FORMAT_VERSION, cluster, cluster_id, tuple(sorted(members)), node)
    write_durably(path / IDENTITY, json.dumps(asdict(identity), indent=2) + "\n")
    sync_above(path)


def require_folders(path: Path) -> None:
    """Raise NotADirectoryError when a file lies where a node's directory is to be, or the one around it."""
    for folder in (path.parent, path):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


class DirectoryLock:
    """A directory that this process has for itself until it is closed.

    The directory is what is locked, for anybody may delete a LOCK that he takes for a leftover; LOCK is for those who
    look whether a node runs.
    """

    def __init__(self, path: Path) -> None:
        """Raises DirectoryInUse."""
        self._path = path
        self.folder = _locked(path, os.O_DIRECTORY)
        try:
            if not _is_same(os.fstat(self.folder), path):  # a rejoin moved it away before it was locked here
                raise DirectoryInUse(f"{path} is in use: another directory was put in its place just now")
            self.file = self._lock_file()
        except BaseException:
            os.close(self.folder)
            raise

    def _lock_file(self) -> int:
        """LOCK, or the folder once more where nothing can be written and there is none: no node can run there."""
        file = self._path / LOCK
        try:
            return _locked(file, os.O_RDWR | os.O_CREAT)
        except OSError as problem:
            if problem.errno not in {errno.EROFS, errno.EACCES}:
                raise
        return _locked(file, os.O_RDONLY) if file.exists() else os.dup(self.folder)

    def close(self) -> None:
        """Let others use it."""
        os.close(self.file)
        os.close(self.folder)

    def renew_file(self) -> bool:
        """Lock LOCK again should it have been deleted or replaced; whether that was so, and is done."""
        if _is_same(os.fstat(self.file), self._path / LOCK):
            return False
        try:
            file = _locked(self._path / LOCK, os.O_RDWR | os.O_CREAT)
        except (OSError, DirectoryInUse):  # a full disk, or somebody who looks just now: at the next look
            return False
        os.close(self.file)
        self.file = file
        return True


def _locked(path: Path, flags: int) -> int:
    """A descriptor that is locked. Raises DirectoryInUse."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        os.close(descriptor)
        if not isinstance(problem, BlockingIOError):
            raise
        raise DirectoryInUse(f"{path} is in use: is this node running already?") from None
    return descriptor


def _is_same(opened: os.stat_result, path: Path) -> bool:
    """Whether this is what lies at the path."""
    try:
        return os.path.samestat(opened, path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _regain_identity(node: str) -> str:
    """What to do for an identity.json: it holds nothing that is not in every other node's, or in the databases."""
    return (
        f"Copy {IDENTITY} of another node to its place and put {node} for the name of the node: that is all it said, "
        f"and {JOURNAL} and {STATE} are held against it"
    )


def require_same_members(file: Path, found: Iterable[object], members: Iterable[str]) -> None:
    """Raise DirectoryRefused unless an identity names the members of the cluster file.

    Nodes that count to different majorities would sell one unit twice.
    """
    was, named = sorted(map(str, found)), sorted(members)
    if was != named:
        raise DirectoryRefused(
            f"{file} says that the members of the cluster are {', '.join(was)}, but the cluster file names "
            f"{', '.join(named)}: a cluster keeps the members that it was born with; name those in every node's file"
        )


class DataDirectory:
    """An existing directory, locked by this process for as long as the object lives."""

    def __init__(self, path: Path, cluster: str, members: Iterable[str], node: str) -> None:
        """Lock and check. Raises DirectoryRefused, and OSError of the system."""
        self._path = path
        require_folders(path)
        self._require_identity(node)
        self._lock = DirectoryLock(path)
        self._opened = {path: os.fstat(self._lock.folder)}
        self.identity = self._read_identity()
        self._check_identity(cluster, node)
        require_same_members(path / IDENTITY, self.identity.members, members)
        self._state = STATE  # until the journal names another
        self._require(JOURNAL)

    def close(self) -> None:
        """Let others use it."""
        self._lock.close()

    def name_process(self) -> None:
        """Say in the lock file which process is the node, to who wants to stop it: others lock directories as well."""
        with suppress(OSError):  # a full disk can be locked, too
            os.pwrite(self._lock.file, f"{os.getpid():<10}\n".encode(), 0)

    def require_in_place(self) -> None:
        """DirectoryLost when what lies at the paths is no longer what was opened there; a lost LOCK is made again.

        That is safe: the directory is locked as well, so that nobody else has used it meanwhile.
        """
        for path, opened in self._opened.items():
            if not _is_same(opened, path):
                raise DirectoryLost(f"{path} was deleted or moved while this node ran: {REJOIN}")
        identity = self._path / IDENTITY
        if not identity.is_file():
            regain = _regain_identity(self.identity.node)
            raise DirectoryLost(f"{identity} was deleted or moved while this node ran. {regain}; then start it again")
        if self._lock.renew_file():
            self.name_process()
            _log.warning("LOCK was deleted while this node runs, and is made again: it is no leftover")

    def _watch(self, *files: Path) -> None:
        """Let require_in_place look at these from now on, as far as they are there: SQLite keeps what it has open.

        It makes a -wal when it opens a database, and deletes it when the last connection is closed, never in between.
        """
        for file in files:
            with suppress(FileNotFoundError):
                self._opened[file] = file.stat()

    def _read_identity(self) -> Identity:
        file = self._path / IDENTITY
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            version = values["format"]
            if version == FORMAT_VERSION:
                return Identity(**values | {"members": tuple(values["members"])})
        except (ValueError, KeyError, TypeError) as problem:
            raise DirectoryRefused(f"{file} is damaged: {problem}. {REJOIN}") from None
        raise DirectoryRefused(
            f"{file} has format {version}, this lastunit knows {FORMAT_VERSION} only: use the one that made it"
        )

    def _require_identity(self, node: str) -> None:
        path = self._path
        if (path / IDENTITY).is_file():
            return
        for name in (JOURNAL, STATE):
            if (path / name).exists():
                raise DirectoryRefused(
                    f"{path} has {name} but no {IDENTITY}: that was lost, or the making of the directory was cut off. "
                    f"{_regain_identity(node)}. Or {REJOIN}. If this node has never run, delete {path} and make it "
                    "again"
                )
        raise DirectoryRefused(
            f"{path} holds no data of node {node}: `lastunit up` makes it for a new cluster; if this node had data "
            "before, its disk was lost and it must not start empty: `lastunit-node rejoin` makes a directory that "
            "catches up from the other nodes"
        )

    def _check_identity(self, cluster: str, node: str) -> None:
        found = self.identity
        if found.cluster != cluster:
            raise DirectoryRefused(f"{self._path} belongs to cluster {found.cluster!r}, not to {cluster!r}")
        if found.node != node:
            raise DirectoryRefused(f"{self._path} belongs to node {found.node!r}, not to {node!r}")

    def _require(self, name: str) -> None:
        if not (self._path / name).is_file():
            raise DirectoryRefused(f"{self._path / name} is missing: part of this node's data was lost. {REJOIN}")

    def open_journal(self, *, read_only: bool = False) -> SqliteJournal:
        """The journal, found whole; it names the state.

        Raises JournalDamaged, JournalFormatError, DirectoryRefused, sqlite.Error of the disk.
        """
        path = self._path / JOURNAL
        with unreadable_is(JournalDamaged, path):
            journal = SqliteJournal(path, self.identity.cluster_id, self.identity.node, read_only=read_only)
        self._watch(path, wal_of(path))
        self._state = journal.state_file
        self._require(self._state)
        return journal

    def install(self, state: str, index: int, term: int) -> None:
        """Let the (closed) journal continue another state, which lies here, durably."""
        with closing(self.open_journal()) as journal:
            journal.install(state, index, term)

    def remove_leftovers(self) -> None:
        """Delete states that the journal does not name, and copies that did not arrive. After open_journal.

        What others keep here, under whatever name, stays. Raises DirectoryRefused for a folder of such a name.
        """
        for file in sorted(self._path.iterdir()):
            if not LEFTOVER.fullmatch(file.name) or file.name.startswith(self._state):
                continue
            if file.is_dir():
                raise DirectoryRefused(
                    f"{file} is a folder, which no node made: move it away, then start the node again"
                )
            file.unlink()
            _log.info("removed what is not in use", file=file.name)

    @property
    def state_path(self) -> Path:
        """The state database that the journal continues. After open_journal."""
        return self._path / self._state

    def copied_state(self, index: int) -> Path:
        """Where a copy that stands at an index is kept, once it is verified."""
        return self._path / f"state-{index}.db"

    @property
    def arriving_copy(self) -> Path:
        """Where a copy of a peer's state is received."""
        return self._path / "copy-arriving.db"

    @property
    def outgoing_copy(self) -> Path:
        """Where a copy of this node's state is made."""
        return self._path / "copy-outgoing.db"

    def open_state(self) -> sqlite.Connection:
        """The state, for writing, found whole.

        Raises StateDamaged, StateFormatError, StateIdentityError, ScanEnded, sqlite.Error or OSError of the disk.
        """
        path = self.state_path
        torn = self.scan_state_wal().unused
        if torn:
            _log.warning("the state goes back to its last whole commit; the journal has the rest", torn_frames=torn)
        with unreadable_is(StateDamaged, path):
            try:
                connection = self._open_whole_state()
            except (StateDamaged, *sqlite.READ_ERRORS) as problem:
                if has_disk_failed(problem):
                    raise
                renew_checksums(path, self.state_identity)
                _log.warning(
                    "another program wrote the state's pages: its rows are whole, their checksums were made anew",
                    problem=sqlite.say(problem),
                )
                connection = self._open_whole_state()
        self._watch(path, wal_of(path))
        return connection

    def _open_whole_state(self) -> sqlite.Connection:
        path = self.state_path
        connection = open_state(path, identity=self.state_identity)
        try:
            if is_wide(path):
                _log.info("reading all of the state before it is served", megabytes=path.stat().st_size >> 20)
            with WideScan(path) as scan:
                check_state(connection, path, scan.digest, scan.problem_of_indexes)
        except BaseException:
            connection.close()
            raise
        return connection

    def open_reader(self) -> sqlite.Connection:
        """The state, for snapshots only."""
        return open_reader(self.state_path)

    def open_for_checkpoints(self) -> sqlite.Connection:
        """The state, for checkpoints beside the one that writes."""
        return sqlite.connect(self.state_path, "rw")

    def inspect_state(self, watch: Watch) -> sqlite.Connection:
        """The state, for snapshots only, found so whole that it can be opened. Raises as open_state does."""
        path = self.state_path
        self.scan_state_wal()
        with unreadable_is(StateDamaged, path):
            connection = sqlite.connect_to_look(path, checksums=False)
            check_owner(connection, path, self.state_identity)
            check_state(connection, path, partial(scan_digest, watch=watch))
        return connection

    def scan_state_wal(self) -> WalScan:
        """What SQLite will find in the -wal of the state. Raises StateDamaged."""
        scan = scan_wal(self.state_path, synchronous="NORMAL")
        if scan.damage:
            raise StateDamaged(scan.damage)
        return scan

    @property
    def state_identity(self) -> StateIdentity:
        """Whose the state is."""
        return StateIdentity(self.identity.cluster_id, self.identity.node)
