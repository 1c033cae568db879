"""One node's data directory, the real one, and what a crash leaves of it.

A process that is killed leaves what it had committed to SQLite, and no more: the journal's unsynced entries were in
memory. Loss of power also takes back the state's transactions, to any one since its last checkpoint (its -wal is not
synced; synchronous=NORMAL); the journal's are synced at each COMMIT. The files lie in memory and are never synced:
what a power loss would do is done here.
"""

import shutil
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

from lastunit_node import sqlite
from lastunit_node.datadir import JOURNAL, LOCK, STATE, DataDirectory, format_directory
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.owner import UPDATE_OWNER, Owner
from simulation.damage import damage

CLUSTER, CLUSTER_ID = "simulated", "simulated-id"
PAGE_BYTES = 1024  # small pages: less to copy and to check after each crash
_WAL_HEADER, _FRAME_HEADER = 32, 24


class CrashableJournal(SqliteJournal):
    """The journal, on which a node may die, or its disk fail, just before or just after a transaction."""

    on_write: Callable[[], None] = staticmethod(lambda: None)
    on_trim: Callable[[], None] = staticmethod(lambda: None)
    on_add: Callable[[bytes, int, int], None] = staticmethod(lambda _data, _index, _term: None)

    def sync(self) -> None:
        self.on_write()
        super().sync()
        self.on_write()

    def trim(self, keep_from: int, limit: int, most_bytes: int = 1 << 62) -> None:
        self.on_write()
        super().trim(keep_from, limit, most_bytes)
        self.on_trim()
        self.on_write()

    def install(self, state_file: str, index: int, term: int) -> None:
        self.on_write()
        super().install(state_file, index, term)
        self.on_write()

    def add(self, command: bytes, idx: int, term: int) -> None:
        super().add(command, idx, term)
        self.on_add(command, idx, term)


class Disk:
    """The files of one node, in a new folder after each crash."""

    journal: CrashableJournal
    state: sqlite.Connection
    reader: sqlite.Connection
    directory: DataDirectory
    damage: str | None = None  # what was done to the files that a start must find
    instance_aside: str | None = None  # of the disk that was put aside last

    def __init__(self, folder: Path, members: Sequence[str], node: str, rng: Random, checkpoint_pages: int) -> None:
        self._parent, self._members, self._node, self._rng = folder, members, node, rng
        self._checkpoint_pages = checkpoint_pages
        self._crashes = 0
        self._aside = folder / f"{node}.aside"
        self._open: list[sqlite.Connection] = []
        self._checkpointed: dict[bytes, int] = {}  # frames that are in the database file too, by the -wal's salts
        self._format(founding=True)

    def _format(self, *, founding: bool) -> None:
        """As the real commands do, but for the instance, which is of this seed."""
        format_directory(self.folder, CLUSTER, CLUSTER_ID, self._members, self._node, founding=founding)
        owner = Owner(CLUSTER_ID, self._node, f"{self._rng.getrandbits(64):016x}", int(founding))
        with closing(sqlite.connect(self.folder / JOURNAL)) as connection:
            connection.execute(UPDATE_OWNER, owner.row())
        for name in (JOURNAL, STATE):
            make_pages_small(self.folder / name)

    def wipe(self) -> None:
        """The files of this node, which is down, are lost, or put aside; `lastunit-node rejoin` makes new ones."""
        if self.damage is None:
            self._put_aside()
        shutil.rmtree(self.folder)
        self._crashes += 1
        self._checkpointed.clear()
        self.damage = None
        self._format(founding=False)

    def _put_aside(self) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)
        shutil.copytree(self.folder, self._aside)
        self._checkpointed_aside = dict(self._checkpointed)
        self.instance_aside = self.journal.instance

    def put_back(self) -> None:
        """The files that were put aside, in the place of those that came after them, which are put aside, if whole."""
        replaced, checkpointed = self._parent / f"{self._node}.replaced", self._checkpointed
        self.folder.rename(replaced)
        self._crashes += 1
        self._aside.rename(self.folder)
        self._checkpointed, self.instance_aside = self._checkpointed_aside, None
        if self.damage is None:
            replaced.rename(self._aside)
            self._checkpointed_aside, self.instance_aside = checkpointed, self.journal.instance
        else:
            shutil.rmtree(replaced)
        self.damage = None

    @property
    def folder(self) -> Path:
        return self._parent / f"{self._node}.{self._crashes}"

    def open(self) -> tuple[CrashableJournal, sqlite.Connection]:
        """As the real node does. Raises the real refusals."""
        self.directory = DataDirectory(self.folder, CLUSTER, self._members, self._node)
        try:
            self.journal = self._open_journal()
            self.directory.remove_leftovers()
            self.state = self.directory.open_state()
            self.reader = self.directory.open_reader()
        except BaseException:
            self._close()
            raise
        self._tame(self.state)
        self._open.append(self.reader)
        self.state.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint_pages}")
        return self.journal, self.state

    def install(self, file: str, index: int, term: int, on_write: Callable[[], None]) -> None:
        """As DataDirectory.install, with something that may happen before and after each transaction."""
        self.journal = self._open_journal()
        self.journal.on_write = on_write
        self.journal.install(file, index, term)
        self.journal.close()

    def _open_journal(self) -> CrashableJournal:
        journal = self.directory.open_journal()
        assert isinstance(journal, CrashableJournal)
        self._tame(journal._connection)
        return journal

    def _tame(self, connection: sqlite.Connection) -> None:
        self._open.append(connection)
        connection.execute("PRAGMA synchronous = OFF")

    def _close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()
        self.directory.close()

    def spoil(self) -> None:
        """Damage the files of this node, which is down."""
        self.damage = damage(self.folder, self._rng)

    def fill(self) -> None:
        """No room for another page: SQLite itself says so when it needs one."""
        for connection in self._open:
            (pages,) = sqlite.only_row(connection, "PRAGMA page_count")
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def crash(self, *, power: bool) -> int:
        """Drop what is not on disk. The number of transactions of the state that were lost."""
        old, state = self.folder, self.directory.state_path.name
        self._crashes += 1
        self.folder.mkdir()
        for file in old.iterdir():
            if file.name != LOCK and not file.name.endswith("-shm"):
                shutil.copyfile(file, self.folder / file.name)
        kept = self._note_checkpoint(old / state)
        lost = self._lose_power(old / state, kept) if power else 0
        self._close()
        shutil.rmtree(old)
        return lost

    def _note_checkpoint(self, state: Path) -> int:
        """How many frames of the -wal are synced and in the database already; no crash takes them back."""
        index, wal = side_file(state, "-shm"), side_file(state, "-wal")
        head = wal.read_bytes()[:_WAL_HEADER] if index.exists() and wal.exists() else b""
        if not head:
            return 0
        (copied,) = struct.unpack_from("=I", index.read_bytes(), 96)
        salts = head[16:24]
        self._checkpointed = {salts: max(copied, self._checkpointed.get(salts, 0))}
        return self._checkpointed[salts]

    def _lose_power(self, state: Path, checkpointed: int) -> int:
        """What was under way is lost; `state` is the file as the crash found it, its -shm beside it."""
        wal = side_file(self.folder / state.name, "-wal")
        if not wal.exists() or not wal.stat().st_size or not side_file(state, "-shm").exists():
            return 0
        data = wal.read_bytes()
        (last,) = struct.unpack_from("=I", side_file(state, "-shm").read_bytes(), 16)
        possible = [end for end in (0, *commit_frames(data, last)) if end >= checkpointed]
        kept = self._rng.choice([possible[0], possible[-1], self._rng.choice(possible)])
        torn = self._rng.randrange(_frame_size(data)) if kept < possible[-1] else 0
        wal.write_bytes(data[: _WAL_HEADER + kept * _frame_size(data) + torn])
        return sum(end > kept for end in possible)


def side_file(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


def make_pages_small(database: Path) -> None:
    with closing(sqlite.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")


def _frame_size(wal: bytes) -> int:
    return _FRAME_HEADER + int(struct.unpack_from(">I", wal, 8)[0])


def commit_frames(wal: bytes, last: int) -> list[int]:
    """How many frames of a -wal each of its transactions ends at, the last valid frame being number `last`."""
    size = _frame_size(wal)
    headers = [struct.unpack_from(">II", wal, _WAL_HEADER + number * size) for number in range(last)]
    return [number for number, (_page, pages_in_file) in enumerate(headers, 1) if pages_in_file]
