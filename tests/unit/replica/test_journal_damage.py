"""Damage to the files of a journal: what was synced is there, or the journal refuses to open."""

import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from support.memory_folder import memory_folder
from support.wal_files import flipped, wal_of

from lastunit_node import sqlite
from lastunit_node.damage import unreadable_is
from lastunit_node.replica.entry_cache import LogEntry
from lastunit_node.replica.journal import JournalDamaged, JournalFormatError, SqliteJournal
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.replica.owner import Owner
from lastunit_node.wal import grow
from lastunit_node.wal.layout import FRAME_HEADER_BYTES, HEADER_BYTES, read_frames, read_header
from lastunit_node.wal.scan import WalScan

OWNER = ("cluster-id", "n1")
FRAME = FRAME_HEADER_BYTES + grow.PAGE_BYTES
SYNCS = 12


class Killed(NamedTuple):
    """The files of a journal whose process was killed, and what they hold."""

    path: Path
    database: bytes
    wal: bytes
    entries: list[LogEntry]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    """Its -wal ends where its log does: zeros behind it are the business of one test."""
    with memory_folder() as folder:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grow, "GROWN_BYTES", 0)
            killed = kill_one(folder / "journal.db")
        yield killed


def kill_one(path: Path) -> Killed:
    """A journal at work, then its files as a kill leaves them."""
    create_journal(path, *OWNER)
    journal = SqliteJournal(path, *OWNER)
    for term in range(1, SYNCS + 1):
        journal.setCurrentTerm(term, "n2")
        for index in range(journal.last_index + 1, journal.last_index + 4):
            journal.add(bytes([index]) * 500, index, term)
        journal.sync()
    copy = path.with_name("killed.db")
    shutil.copy(path, copy)
    shutil.copy(wal_of(path), wal_of(copy))
    entries = journal.entries(0, 99)
    journal.close()
    return Killed(copy, copy.read_bytes(), wal_of(copy).read_bytes(), entries)


def opened(killed: Killed, database: bytes | None = None, wal: bytes | None = None) -> SqliteJournal:
    """The journal of these files, which stay as they are."""
    path = killed.path.with_name("opened.db")
    for file in path.parent.glob("opened.db*"):
        file.unlink()
    path.write_bytes(killed.database if database is None else database)
    wal_of(path).write_bytes(killed.wal if wal is None else wal)
    with unreadable_is(JournalDamaged, path), pytest.MonkeyPatch.context() as patch:
        patch.setattr(grow, "GROWN_BYTES", 0)
        return SqliteJournal(path, *OWNER)


def test_nothing_is_lost_by_a_kill(killed: Killed) -> None:
    journal = opened(killed)
    assert journal.entries(0, 99) == killed.entries
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (SYNCS, "n2")
    journal.close()


def test_an_opened_journals_wal_holds_nothing_of_an_earlier_opening(killed: Killed) -> None:
    journal = opened(killed)
    wal = wal_of(killed.path.with_name("opened.db")).read_bytes()
    assert len(wal) <= HEADER_BYTES + 2 * FRAME < len(killed.wal)
    journal.close()


def test_zeros_behind_the_log_mean_nothing(killed: Killed) -> None:
    for zeros in (FRAME - 1, 3 * FRAME, 3 * FRAME + 1):
        journal = opened(killed, wal=killed.wal + bytes(zeros))
        assert journal.entries(0, 99) == killed.entries
        journal.close()


def test_a_wal_that_was_grown_and_never_used_is_empty(killed: Killed) -> None:
    journal = opened(killed, wal=b"")
    expected = journal.entries(0, 99)
    journal.close()
    journal = opened(killed, wal=bytes(3 * FRAME))
    assert journal.entries(0, 99) == expected
    journal.close()


def test_an_opened_journals_wal_grows_no_more(tmp_path: Path) -> None:
    """Until SQLite starts over in it, which is when it has CHECKPOINT_PAGES."""
    path = tmp_path / "journal.db"
    create_journal(path, *OWNER)
    journal = SqliteJournal(path, *OWNER)
    size = wal_of(path).stat().st_size
    for index in range(1, 2 * grow.CHECKPOINT_PAGES):
        journal.add(bytes(5_000), index, 0)
        journal.sync()
    assert size == wal_of(path).stat().st_size == grow.GROWN_BYTES
    journal.close()


def start_of_last_sync(killed: Killed) -> int:
    """Where its first frame begins."""
    header = read_header(killed.wal)
    assert header is not None
    ends = [number for number, frame in enumerate(read_frames(killed.wal, header), 1) if frame.commits]
    return HEADER_BYTES + ends[-2] * FRAME


def test_flipped_bytes_of_headers_and_of_pages_before_the_last_sync_are_refused(killed: Killed) -> None:
    heads = [
        start + byte for start in range(HEADER_BYTES, len(killed.wal), FRAME) for byte in range(FRAME_HEADER_BYTES)
    ]
    second_sum = range(FRAME_HEADER_BYTES - 4, FRAME_HEADER_BYTES)
    heads = [
        each
        for each in heads
        if each < start_of_last_sync(killed)
        or (each - HEADER_BYTES) % FRAME not in second_sum  # as a torn page leaves it
    ]
    some = random.Random(3).sample(range(HEADER_BYTES, start_of_last_sync(killed)), 300)
    for position in [*range(HEADER_BYTES), *heads, *some]:
        with pytest.raises(JournalDamaged, match=r"opened\.db-wal"):
            opened(killed, wal=flipped(killed.wal, position, 0x41))


def test_a_flipped_byte_in_a_page_of_the_last_sync_is_taken_for_a_torn_one(killed: Killed) -> None:
    """A crash may leave just that (wal/scan.py): the sync is undone as a whole, and nothing before it."""
    journal = opened(killed, wal=flipped(killed.wal, len(killed.wal) - 7))
    assert journal.entries(0, 99) == killed.entries[:-3]
    assert journal.getCurrentTerm() == SYNCS
    journal.close()


def test_without_the_scan_a_flipped_bit_would_lose_synced_entries_silently(
    killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why there is a scan."""
    monkeypatch.setattr("lastunit_node.replica.journal.scan_wal", lambda path, synchronous: WalScan())
    journal = opened(killed, wal=flipped(killed.wal, HEADER_BYTES + 5 * FRAME + 2000))
    assert journal.last_index < killed.entries[-1][1] - 5
    journal.close()


def test_a_torn_end_is_cut_to_whole_syncs(killed: Killed) -> None:
    for length in range(0, len(killed.wal), FRAME // 3):
        journal = opened(killed, wal=killed.wal[:length])
        assert journal.entries(0, 99) == killed.entries[: journal.last_index + 1]
        assert journal.getCurrentTerm() in {journal.last_term, journal.last_term + 1}, "each vote, then its entries"
        journal.close()


def test_a_flipped_byte_of_the_database_is_found_or_harmless(killed: Killed) -> None:
    journal = opened(killed)
    path = killed.path.with_name("opened.db")
    journal.close()
    database = path.read_bytes()
    refused = 0
    for position in random.Random(5).sample(range(len(database)), 700):
        try:
            journal = opened(killed, database=flipped(database, position, 0x10), wal=b"")
        except (JournalDamaged, JournalFormatError):
            refused += 1
            continue
        assert journal.entries(0, 99) == killed.entries
        assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (SYNCS, "n2")
        journal.close()
    assert refused > 100, "entries fill much of the file"


@pytest.mark.parametrize("value", ["NULL", "'x'", "x'00'", "1.5", "-1", "7", "CAST(x'ff' AS TEXT)"])
@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("entry", ("idx", "term", "bytes", "crc")),
        ("vote", ("only", "term", "voted_for", "crc")),
        ("owner", ("only", *Owner._fields, "crc")),
    ],
)
def test_a_column_of_any_type_is_refused(killed: Killed, table: str, columns: tuple[str, ...], value: str) -> None:
    """As a sector of zeros leaves it: what types a table has is written in its schema, and not looked at in reading."""
    opened(killed).close()
    path = killed.path.with_name("opened.db")
    with closing(sqlite.connect(path)) as connection:
        untyped = f"CREATE TABLE {table} ({columns[0]} INTEGER PRIMARY KEY, {', '.join(columns[1:])})"
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (untyped, table))
    untyped_file = path.read_bytes()
    for column in columns[1:]:
        path.write_bytes(untyped_file)
        with closing(sqlite.connect(path)) as connection:
            connection.execute(f"UPDATE {table} SET {column} = {value}")
        with pytest.raises(JournalDamaged, match="damaged"), unreadable_is(JournalDamaged, path):
            SqliteJournal(path, *OWNER)


def test_looking_writes_nothing(killed: Killed) -> None:
    opened(killed).close()
    path = killed.path.with_name("opened.db")
    before = path.read_bytes()
    looks = [SqliteJournal(path, *OWNER, read_only=True) for _ in range(2)]
    assert looks[0].boot == looks[1].boot
    looks[0].check_pages()
    with pytest.raises(sqlite.Error, match="readonly"):
        looks[0].setCurrentTerm(99, None)
    for look in looks:
        look._connection.close()
    assert path.read_bytes() == before
