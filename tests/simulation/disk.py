"""One node's files, and what a crash leaves of them.

A process that is killed leaves what it had committed to SQLite, and no more: the journal's unsynced entries were in
memory. Loss of power also takes back the state's transactions, to any one since its last checkpoint (its -wal is not
synced; synchronous=NORMAL); the journal's are synced at each COMMIT. The files lie in memory and are never synced:
what a power loss would do is done here.
"""

import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

from lastunit_node.replica.journal import SqliteJournal, create_journal
from lastunit_node.statemachine.database import Identity, open_state

CLUSTER = "simulated"
JOURNAL, STATE, WAL, SHM = "journal.db", "state.db", "state.db-wal", "state.db-shm"
_WAL_HEADER, _FRAME_HEADER = 32, 24


class CrashableJournal(SqliteJournal):
    """The journal, on which a node may die just before or just after a sync."""

    on_sync: Callable[[], None] = staticmethod(lambda: None)
    on_add: Callable[[bytes, int, int], None] = staticmethod(lambda _data, _index, _term: None)

    def sync(self) -> None:
        self.on_sync()
        super().sync()
        self.on_sync()

    def add(self, command: bytes, idx: int, term: int) -> None:
        super().add(command, idx, term)
        self.on_add(command, idx, term)


class Disk:
    """The files of one node, in a new folder after each crash."""

    def __init__(self, folder: Path, node: str, rng: Random, checkpoint_pages: int) -> None:
        self._parent, self._node, self._rng = folder, node, rng
        self._checkpoint_pages = checkpoint_pages
        self._crashes = 0
        self._checkpointed: dict[bytes, int] = {}  # frames that are in the database file too, by the -wal's salts
        self._folder.mkdir()
        self._open_state().close()
        create_journal(self._folder / JOURNAL, CLUSTER, node, instance=f"{rng.getrandbits(64):016x}")

    @property
    def _folder(self) -> Path:
        return self._parent / f"{self._node}.{self._crashes}"

    def _open_state(self) -> sqlite3.Connection:
        return open_state(self._folder / STATE, identity=Identity(CLUSTER, self._node))

    def open(self) -> tuple[CrashableJournal, sqlite3.Connection]:
        self.journal = CrashableJournal(self._folder / JOURNAL, CLUSTER, self._node)
        self.state = self._open_state()
        for connection in (self.journal._connection, self.state):
            connection.execute("PRAGMA synchronous = OFF")
        self.state.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint_pages}")
        return self.journal, self.state

    def crash(self, *, power: bool) -> int:
        """Drop what is not on disk. The number of transactions of the state that were lost."""
        old = self._folder
        self._crashes += 1
        shutil.copytree(old, self._folder)
        kept = self._note_checkpoint()
        lost = self._lose_power(kept) if power else 0
        self.state.close()
        self.journal._connection.close()
        shutil.rmtree(old)
        (self._folder / SHM).unlink(missing_ok=True)
        return lost

    def _note_checkpoint(self) -> int:
        """How many frames of the -wal are synced and in the database already; no crash takes them back."""
        index = self._folder / SHM
        wal = (self._folder / WAL).read_bytes() if index.exists() else b""
        if not wal:
            return 0
        (copied,) = struct.unpack_from("=I", index.read_bytes(), 96)
        salts = wal[16:24]
        self._checkpointed = {salts: max(copied, self._checkpointed.get(salts, 0))}
        return self._checkpointed[salts]

    def _lose_power(self, checkpointed: int) -> int:
        wal = self._folder / WAL
        if not wal.exists() or not wal.stat().st_size:
            return 0
        data = wal.read_bytes()
        (last,) = struct.unpack_from("=I", (self._folder / SHM).read_bytes(), 16)
        possible = [end for end in (0, *commit_frames(data, last)) if end >= checkpointed]
        kept = self._rng.choice([possible[0], possible[-1], self._rng.choice(possible)])
        torn = self._rng.randrange(_frame_size(data)) if kept < possible[-1] else 0
        wal.write_bytes(data[: _WAL_HEADER + kept * _frame_size(data) + torn])
        return sum(end > kept for end in possible)


def _frame_size(wal: bytes) -> int:
    return _FRAME_HEADER + int(struct.unpack_from(">I", wal, 8)[0])


def commit_frames(wal: bytes, last: int) -> list[int]:
    """How many frames of a -wal each of its transactions ends at, the last valid frame being number `last`."""
    size = _frame_size(wal)
    headers = [struct.unpack_from(">II", wal, _WAL_HEADER + number * size) for number in range(last)]
    return [number for number, (_page, pages_in_file) in enumerate(headers, 1) if pages_in_file]
