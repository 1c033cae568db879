"""Raft's log, term and vote on SQLite: what a node must remember to be trusted with a vote or an acknowledgement.

Promises: after sync() everything added, cut or voted before it survives a power loss (WAL, synchronous=FULL); one sync
writes all of it in one transaction, so a crash leaves either the state before or the state after. An entry that was
added but not synced may be read (it is what an unsynced log is), yet counts for nothing: callers sync before they
acknowledge, vote or apply. Every row carries a CRC, checked when the journal is opened and when a row is read back, and
its -wal is scanned before SQLite opens it (wal/scan.py); damage raises JournalDamaged and is never served.

The journal is never empty. Its first entry is a sentinel that stands for everything before it: (index, term) only.
The commit index is not kept here at all (docs/raft-rules.md, rule 4). What may be trimmed is compaction.py's business.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lastunit_node import sqlite
from lastunit_node.replica.entry_cache import EntryCache, LogEntry
from lastunit_node.replica.journal_file import FORMAT_VERSION, SENTINEL_BYTES, entry_crc, is_intact, vote_crc
from lastunit_node.replica.owner import SELECT_OWNER, UPDATE_OWNER, Owner
from lastunit_node.wal.grow import CHECKPOINT_PAGES, grow_wal
from lastunit_node.wal.scan import CHECKPOINT, scan_wal, wal_of

_INSERT: Final = "INSERT INTO entry VALUES (?, ?, ?, ?)"


class JournalDamaged(Exception):
    """The journal holds something it never wrote. The node must stop; the other nodes still have its entries."""


class JournalFormatError(Exception):
    """The journal was written by a version of lastunit that has another format."""


def _lacks_its_wal(path: Path) -> bool:
    """Whether it was not closed, and yet has none. What else is wrong with it is for others to find."""
    if wal_of(path).exists():
        return False
    connection = sqlite.look_at(path)
    try:
        row = connection.execute(SELECT_OWNER).fetchone()
    except sqlite.READ_ERRORS:
        return False
    finally:
        connection.close()
    owner = Owner.of(row) if row else None
    return owner is not None and owner.is_open == 1


class SqliteJournal:
    """PySyncObj's Journal interface over one SQLite file; used by one thread at a time.

    Log positions in that interface (items, len, deleteEntriesFrom) count from the sentinel; everything else here
    speaks of log indexes.
    """

    def __init__(self, path: Path, cluster_id: str, node: str, *, read_only: bool = False) -> None:
        """Open this node's journal. Raises JournalDamaged, JournalFormatError, sqlite.Error.

        read_only: only look; neither the boot nor a change is written.
        """
        self._path = path
        if not path.exists():
            raise JournalDamaged(f"{path} is missing")
        if damage := scan_wal(path, synchronous="FULL").damage:
            raise JournalDamaged(damage)
        if _lacks_its_wal(path):
            raise JournalDamaged(
                f"{wal_of(path)} is missing, and with it what was written last (unless a program like sqlite3 opened "
                "the journal since and moved it there: then an empty file of that name will do)"
            )
        self._read_only = read_only
        self._connection = sqlite.connect_to_look(path) if read_only else sqlite.connect(path, "rw")
        try:
            sqlite.keep_wal(self._connection, keep=True)  # by whoever is refused, or ends without close()
            self._open(cluster_id, node)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, cluster_id: str, node: str) -> None:
        self._check_format()
        self._owner = self._check_owner(cluster_id, node)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._load()
        if not self._read_only:
            self._connection.execute(CHECKPOINT)  # what a scan of the -wal relies on
            self._change_owner(boots=self.boot + 1, is_open=1)
            self._connection.execute(CHECKPOINT)  # a copy without the -wal says that it was open
            self._checkpoints = sqlite.Checkpoints(self._connection, CHECKPOINT_PAGES)
            grow_wal(self._path)

    def _load(self) -> None:
        self._term, self._voted_for = self._read_vote()
        self._vote_unsynced = False
        self._first = self._owner.first_index
        self._bytes = 0
        self._cache = EntryCache(self._scan())
        self._durable = self.last_index
        self._cut_from: int | None = None  # the next sync deletes rows from here on

    def _change_owner(self, **changes: int | str) -> None:
        """Durable with the transaction that is open, or at once."""
        changed = self._owner._replace(**changes)  # type: ignore[arg-type]  # each field has its own type
        self._connection.execute(UPDATE_OWNER, changed.row())
        self._owner = changed

    def _check_format(self) -> None:
        try:
            (version,) = sqlite.only_row(self._connection, "PRAGMA user_version")
        except sqlite.UNREADABLE as problem:
            raise JournalDamaged(f"{self._path} is not a journal: {problem}") from problem
        if version == 0:
            raise JournalDamaged(f"{self._path} was never completed")
        if version != FORMAT_VERSION:
            raise JournalFormatError(
                f"{self._path} has format {version}, this lastunit knows {FORMAT_VERSION} only: "
                "use the one that made it"
            )

    def _check_owner(self, cluster_id: str, node: str) -> Owner:
        """The row of the owner, if the journal is this node's."""
        row = self._connection.execute(SELECT_OWNER).fetchone()
        if row is None:
            raise JournalDamaged(f"{self._path}: the row of its owner is gone")
        owner = Owner.of(row)
        if owner is None:
            raise JournalDamaged(f"{self._path}: the row of its owner is damaged")
        if owner[:2] != (cluster_id, node):
            raise JournalDamaged(f"{self._path} belongs to another node: {owner.node} of {owner.cluster_id}")
        return owner

    def _read_vote(self) -> tuple[int, str | None]:
        row = self._connection.execute("SELECT term, voted_for, crc FROM vote").fetchone()
        if row is None or row[2] != vote_crc(row[0], row[1]):
            raise JournalDamaged(f"{self._path}: the row of term and vote is damaged")
        return row[0], row[1]

    def _scan(self) -> Iterator[LogEntry]:
        expected = self._first
        for entry in self._select(0, 1 << 62):
            if entry[1] != expected:
                raise JournalDamaged(f"{self._path}: entry {expected} is missing")
            self._bytes += len(entry[0])
            expected = entry[1] + 1
            yield entry
        if expected == self._first:
            raise JournalDamaged(f"{self._path}: the journal is empty, even its sentinel is gone")

    def _select(self, first: int, stop: int) -> Iterator[LogEntry]:
        rows = self._connection.execute(
            "SELECT bytes, idx, term, crc FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (first, stop)
        )
        for data, index, term, crc in rows:
            if not is_intact(index, term, data, crc):
                raise JournalDamaged(f"{self._path}: entry {index} is damaged")
            yield data, index, term

    def check_pages(self) -> None:
        """Let SQLite look at pages and indexes. Raises JournalDamaged."""
        (verdict,) = sqlite.only_row(self._connection, "PRAGMA integrity_check(1)")
        if verdict != "ok":
            raise JournalDamaged(f"{self._path} is damaged: SQLite finds: {verdict}")

    @property
    def instance(self) -> str:
        """The random id of this disk."""
        return self._owner.instance

    @property
    def boot(self) -> int:
        """The number of this opening: larger than every one before it."""
        return self._owner.boots

    @property
    def owner(self) -> Owner:
        """Whose disk this is, whether it is a founding one, and where it was admitted."""
        return self._owner

    def note_admission(self, index: int) -> None:
        """Remember that this disk was admitted at index; durable when this returns."""
        self._change_owner(admitted=index)

    @property
    def first_index(self) -> int:
        """Index of the sentinel."""
        return self._first

    @property
    def last_index(self) -> int:
        """Index of the last entry, synced or not."""
        return self._cache.last[1]

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._cache.last[2]

    @property
    def durable_index(self) -> int:
        """Every entry up to this index is on disk."""
        return self._durable

    @property
    def size(self) -> int:
        """Bytes of all entries held, on disk or not."""
        return self._bytes

    def term_at(self, index: int) -> int | None:
        """Term of the entry at index; None outside the journal."""
        entries = self.entries(index, index + 1)
        return entries[0][2] if entries else None

    def entries(self, first: int, stop: int) -> list[LogEntry]:
        """Entries first..stop-1, as far as the journal holds them. Raises JournalDamaged."""
        first, stop = max(first, self._first), min(stop, self.last_index + 1)
        if first >= stop:
            return []
        if first >= self._cache.first_index:
            return self._cache.slice(first, stop)
        on_disk = min(stop, self._cache.first_index)
        found = list(self._select(first, on_disk))
        if len(found) != on_disk - first:
            raise JournalDamaged(f"{self._path}: entries {first} to {on_disk - 1} are not all there")
        return found + self._cache.slice(on_disk, stop)

    def cut_from(self, index: int) -> None:
        """Forget entries from index on (a conflict with the leader's log). The sentinel stays."""
        if index <= self._first:
            raise JournalDamaged(f"{self._path}: asked to cut at {index}, at or below its start {self._first}")
        self._bytes -= sum(len(entry[0]) for entry in self.entries(index, self.last_index + 1))
        if index <= self._cache.first_index:
            self._cache = EntryCache(self._select(self._first, index))
        else:
            self._cache.cut_from(index)
        if index <= self._durable:
            self._cut_from = index if self._cut_from is None else min(index, self._cut_from)
            self._durable = index - 1

    def trim(self, keep_from: int, limit: int, most_bytes: int = 1 << 62) -> None:
        """Forget entries before keep_from, at most `limit` of them and, but for one, so many bytes.

        The oldest kept one becomes the sentinel. keep_from is an index that a durable state has applied. Durable when
        this returns.
        """
        target = min(keep_from, self._first + limit, self._durable)
        if target <= self._first:
            return
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        freed = 0
        for index, size in execute("SELECT idx, length(bytes) FROM entry WHERE idx < ? ORDER BY idx", (target,)):
            if index > self._first and freed + size > most_bytes:
                target = index
                break
            freed += size
        execute("DELETE FROM entry WHERE idx < ?", (target,))
        self._change_owner(first_index=target)
        execute("COMMIT")
        self._checkpoints.after_commit()
        self._first = target
        self._bytes -= freed
        self._cache.forget_before(target)

    @property
    def state_file(self) -> str:
        """Name of the state database that this journal continues."""
        return self._owner.state_file

    def install(self, state_file: str, index: int, term: int) -> None:
        """Continue another state from now on, one that has applied `index`; one transaction (rule 4, Install).

        What follows is kept if this log holds (index, term); else it is not what the others have committed, and goes.
        """
        self.sync()
        keeps_tail = self.term_at(index) == term
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        if keeps_tail:
            execute("DELETE FROM entry WHERE idx < ?", (index,))
        else:
            execute("DELETE FROM entry")
            crc = entry_crc(index, term, SENTINEL_BYTES)
            execute(_INSERT, (index, term, SENTINEL_BYTES, crc))
        self._change_owner(first_index=index, state_file=state_file)
        execute("COMMIT")
        self._load()

    def sync(self) -> None:
        """Make everything so far durable, in one transaction. Raises sqlite.Error: the node must stop."""
        if self._durable == self.last_index and self._cut_from is None and not self._vote_unsynced:
            return
        rows = [(index, term, data, entry_crc(index, term, data)) for data, index, term in self._unsynced()]
        if len(rows) == 1 and self._cut_from is None and not self._vote_unsynced:
            self._connection.execute(_INSERT, rows[0])  # the common case: a statement is a transaction by itself
        else:
            self._write(rows)
        self._checkpoints.after_commit()
        self._durable, self._cut_from, self._vote_unsynced = self.last_index, None, False
        self._cache.shrink(self._durable)

    def _write(self, rows: list[tuple[int, int, bytes, int]]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        if self._cut_from is not None:
            execute("DELETE FROM entry WHERE idx >= ?", (self._cut_from,))
        self._connection.executemany(_INSERT, rows)
        if self._vote_unsynced:
            row = (self._term, self._voted_for, vote_crc(self._term, self._voted_for))
            execute("UPDATE vote SET term = ?, voted_for = ?, crc = ?", row)
        execute("COMMIT")

    def _unsynced(self) -> list[LogEntry]:
        return self._cache.slice(max(self._durable + 1, self._cache.first_index), self.last_index + 1)

    # PySyncObj's interface from here on.

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append the next entry."""
        if idx != self.last_index + 1:
            raise JournalDamaged(f"{self._path}: entry {idx} cannot follow entry {self.last_index}")
        self._cache.append((command, idx, term))
        self._bytes += len(command)

    def clear(self) -> None:
        """Only dump files need this, and there are none."""
        raise JournalDamaged(f"{self._path}: asked to forget the whole log")

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803
        """Forget entries from this position on."""
        self.cut_from(self._first + entryFrom)

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803
        """Only dump files need this, and there are none."""
        raise JournalDamaged(f"{self._path}: asked to trim up to position {entryTo}")

    def __len__(self) -> int:
        return self.last_index - self._first + 1

    def __getitem__(self, item: int | slice) -> LogEntry | list[LogEntry]:
        if isinstance(item, slice):
            start, stop, _ = item.indices(len(self))
            return self.entries(self._first + start, self._first + stop)
        if item == -1:
            return self._cache.last
        found = self.entries(self._first + item, self._first + item + 1)
        if not found or item < 0:
            raise IndexError(item)
        return found[0]

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        """Remember term and vote; durable when this returns."""
        self._term, self._voted_for, self._vote_unsynced = term, votedForNodeId, True
        self.sync()

    def getCurrentTerm(self) -> int:  # noqa: N802
        """The term last set."""
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        """The vote cast in that term."""
        return self._voted_for

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """See to it that what is about to be applied is durable; the index itself is not kept."""
        if raftCommitIndex > self._durable:
            self.sync()

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        """The sentinel's index: nothing more is known to be committed until the leader says so."""
        return self._first

    def onOneSecondTimer(self) -> None: ...  # noqa: N802, D102
    def _destroy(self) -> None:
        self.close()

    def close(self) -> None:
        """Sync and close the file."""
        self.sync()
        if not self._read_only:
            self._change_owner(is_open=0)
            sqlite.keep_wal(self._connection, keep=False)
        self._connection.close()
