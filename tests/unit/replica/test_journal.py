"""The journal: what was synced survives, what was damaged is never served."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from lastunit_node import sqlite
from lastunit_node.replica import entry_cache
from lastunit_node.replica.journal import JournalDamaged, JournalFormatError, SqliteJournal
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.wal.grow import CHECKPOINT_PAGES, GROWN_BYTES
from lastunit_node.wal.scan import wal_of

OWNER = ("cluster-id", "n1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "journal.db"
    create_journal(file, *OWNER)
    return file


def opened(path: Path) -> SqliteJournal:
    return SqliteJournal(path, *OWNER)


def fill(journal: SqliteJournal, count: int, term: int = 1, size: int = 10) -> None:
    for index in range(journal.last_index + 1, journal.last_index + 1 + count):
        journal.add(b"%d:" % index + b"x" * size, index, term)


def crashed(journal: SqliteJournal) -> None:
    """Drop the process's memory: only what was synced is left."""
    journal._connection.close()


def test_a_new_journal_holds_only_its_sentinel(path: Path) -> None:
    journal = opened(path)
    assert len(journal) == 1
    assert journal[-1] == (b"", 0, 0)
    assert (journal.first_index, journal.last_index, journal.durable_index) == (0, 0, 0)
    assert journal.getCurrentTerm() == 0
    assert journal.getVotedForNodeId() is None


def test_what_was_synced_is_there_after_a_crash_and_what_was_not_is_gone(path: Path) -> None:
    journal = opened(path)
    fill(journal, 3)
    journal.sync()
    fill(journal, 2)
    assert journal.last_index == 5
    assert journal.durable_index == 3
    crashed(journal)
    assert opened(path).last_index == 3


def test_term_and_vote_are_durable_when_set_and_take_the_entries_before_them_along(path: Path) -> None:
    journal = opened(path)
    fill(journal, 2)
    journal.setCurrentTerm(7, "n2")
    crashed(journal)
    again = opened(path)
    assert (again.getCurrentTerm(), again.getVotedForNodeId(), again.last_index) == (7, "n2", 2)


def test_the_commit_index_syncs_what_is_about_to_be_applied(path: Path) -> None:
    journal = opened(path)
    fill(journal, 4)
    journal.setRaftCommitIndex(2)
    assert journal.durable_index == 4
    crashed(journal)
    assert opened(path).last_index == 4


def test_a_cut_and_what_replaces_it_become_durable_together(path: Path) -> None:
    journal = opened(path)
    fill(journal, 5, term=1)
    journal.sync()
    journal.cut_from(3)
    assert (journal.last_index, journal.durable_index) == (2, 2)
    fill(journal, 1, term=2)
    crashed(journal)
    before = opened(path)
    assert [entry[2] for entry in before.entries(1, 9)] == [1] * 5, "the cut was not synced, so it did not happen"
    before.cut_from(3)
    fill(before, 1, term=2)
    before.sync()
    crashed(before)
    assert [entry[1:] for entry in opened(path).entries(1, 9)] == [(1, 1), (2, 1), (3, 2)]


def test_a_cut_of_unsynced_entries_leaves_no_trace(path: Path) -> None:
    journal = opened(path)
    fill(journal, 2)
    journal.sync()
    fill(journal, 3)
    journal.cut_from(4)
    fill(journal, 1, term=3)
    journal.sync()
    crashed(journal)
    assert [entry[1:] for entry in opened(path).entries(1, 9)] == [(1, 1), (2, 1), (3, 1), (4, 3)]


def test_entries_that_left_the_cache_are_read_back_from_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_cache, "CACHE_ENTRIES", 8)
    journal = opened(path)
    expected = []
    for _ in range(50):
        fill(journal, 1)
        expected.append(journal[-1])
        journal.sync()
    assert journal._cache.first_index > 40
    assert journal.entries(1, 51) == expected
    journal.add(b"in memory alone", 51, 1)
    assert journal.entries(1, 52)[:50] == expected
    journal.cut_from(51)
    assert journal.entries(3, 45) == expected[2:44]
    assert journal[5] == expected[4]
    journal.cut_from(20)
    assert journal.entries(0, 99)[1:] == expected[:19]
    fill(journal, 2, term=9)
    journal.sync()
    crashed(journal)
    assert opened(path).entries(1, 20) == expected[:19]


def test_unsynced_entries_never_leave_the_cache(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_cache, "CACHE_ENTRIES", 8)
    journal = opened(path)
    fill(journal, 100)
    assert len(journal.entries(1, 101)) == 100
    journal.sync()
    crashed(journal)
    assert opened(path).last_index == 100


def test_entries_must_follow_each_other(path: Path) -> None:
    journal = opened(path)
    with pytest.raises(JournalDamaged, match="entry 2 cannot follow entry 0"):
        journal.add(b"x", 2, 1)


def test_the_sentinel_cannot_be_cut_nor_the_log_forgotten(path: Path) -> None:
    journal = opened(path)
    fill(journal, 1)
    with pytest.raises(JournalDamaged, match="at or below its start"):
        journal.cut_from(0)
    with pytest.raises(JournalDamaged, match="forget the whole log"):
        journal.clear()
    with pytest.raises(JournalDamaged, match="trim"):
        journal.deleteEntriesTo(1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE entry SET bytes = x'00' WHERE idx = 2", "entry 2 is damaged"),
        ("UPDATE entry SET term = 4 WHERE idx = 2", "entry 2 is damaged"),
        ("DELETE FROM entry WHERE idx = 2", "entry 2 is missing"),
        ("DELETE FROM entry", "journal is empty"),
        ("UPDATE vote SET voted_for = 'n3'", "term and vote is damaged"),
        ("UPDATE vote SET term = 0", "term and vote is damaged"),
        ("DELETE FROM vote", "term and vote is damaged"),
        ("UPDATE owner SET node = 'n9'", "owner is damaged"),
        ("UPDATE owner SET founding = 0", "owner is damaged"),
        ("UPDATE owner SET first_index = 1", "owner is damaged"),
        ("UPDATE owner SET state_file = 'state-9.db'", "owner is damaged"),
        ("DELETE FROM owner", "owner is gone"),
    ],
)
def test_damage_is_found_when_the_journal_is_opened(path: Path, damage: str, message: str) -> None:
    journal = opened(path)
    fill(journal, 3)
    journal.setCurrentTerm(1, "n1")
    journal.close()
    with sqlite.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(JournalDamaged, match=message):
        opened(path)


def test_a_copy_without_its_wal_is_refused(path: Path, tmp_path: Path) -> None:
    """What was acknowledged since the last checkpoint is in the -wal alone, votes too."""
    journal = opened(path)
    fill(journal, 3)
    journal.sync()
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    for read_only in (True, False, False):  # a second look is told the same
        with pytest.raises(JournalDamaged, match=r"copy.db-wal is missing, and with it what was written last"):
            SqliteJournal(copy, *OWNER, read_only=read_only)
    wal_of(copy).touch()  # as the message says
    assert opened(copy).last_index == 0


def test_a_copy_of_a_closed_journal_needs_no_wal(path: Path, tmp_path: Path) -> None:
    journal = opened(path)
    fill(journal, 3)
    journal.close()
    assert not wal_of(path).exists()
    shutil.copy(path, tmp_path / "copy.db")
    assert opened(tmp_path / "copy.db").last_index == 3


def test_a_start_that_was_refused_and_a_process_that_just_ends_leave_the_wal(path: Path) -> None:
    journal = opened(path)
    fill(journal, 3)
    journal.sync()
    del journal  # SQLite closes the file
    with pytest.raises(JournalDamaged, match="belongs to another node"):
        SqliteJournal(path, OWNER[0], "n2")
    assert opened(path).last_index == 3


def test_a_trim_is_bounded_in_bytes(path: Path) -> None:
    journal = opened(path)
    fill(journal, 10, size=1_000)
    journal.sync()
    journal.trim(10, 100, most_bytes=3_500)
    assert journal.first_index == 4, "the sentinel, which has no bytes, and three entries"
    journal.trim(10, 100, most_bytes=500)
    assert journal.first_index == 5, "one at least"
    journal.trim(10, 100, most_bytes=1_100)
    assert (journal.first_index, journal.size) == (6, sum(len(data) for data, _, _ in journal.entries(6, 11)))


def test_what_was_forgotten_is_not_claimed_again(path: Path) -> None:
    journal = opened(path)
    fill(journal, 10)
    journal.sync()
    fill(journal, 2)
    journal.trim(12, 5)
    journal.trim(3, 100)
    assert journal.first_index == 5
    journal.trim(12, 100)
    assert (journal.first_index, journal.last_index) == (10, 12), "what is not on disk stays"
    journal.sync()
    crashed(journal)
    assert [index for _, index, _ in opened(path).entries(0, 99)] == [10, 11, 12]


def test_damage_is_found_when_a_row_is_read_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_cache, "CACHE_ENTRIES", 4)
    journal = opened(path)
    fill(journal, 40)
    journal.sync()
    journal._connection.execute("UPDATE entry SET bytes = x'00' WHERE idx = 2")
    with pytest.raises(JournalDamaged, match="entry 2 is damaged"):
        journal.entries(1, 4)


def test_a_missing_a_foreign_an_older_and_a_newer_file_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalDamaged, match="belongs to another node: n1 of"):
        SqliteJournal(path, OWNER[0], "n2")
    with pytest.raises(JournalDamaged, match="is missing"):
        SqliteJournal(tmp_path / "other.db", *OWNER)
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be looked at" * 50)
    with pytest.raises(JournalDamaged, match="is not a journal"):
        SqliteJournal(tmp_path / "text.db", *OWNER)
    for version in (1, 99):
        connection = sqlite.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with pytest.raises(JournalFormatError, match=f"has format {version}, .* use the one that made it"):
            opened(path)


def test_the_owner_is_remembered_with_what_happens_to_the_disk(path: Path) -> None:
    journal = opened(path)
    assert journal.owner.founding
    assert journal.owner.admitted == 0
    fill(journal, 5)
    journal.sync()
    journal.trim(2, 10)
    journal.note_admission(4)
    before = journal.owner
    crashed(journal)
    journal = opened(path)
    assert journal.owner == before._replace(boots=before.boots + 1)
    assert (journal.first_index, journal.owner.admitted) == (2, 4)
    journal.close()


def test_every_disk_has_an_id_of_its_own_and_a_later_one_is_no_founder(tmp_path: Path) -> None:
    for name, options in (("a", {}), ("b", {}), ("c", {"founding": False, "instance": "c0ffee"})):
        create_journal(tmp_path / name, *OWNER, **options)  # type: ignore[arg-type]  # each has its own type
    journals = [SqliteJournal(tmp_path / name, *OWNER) for name in "abc"]
    assert len({journal.instance for journal in journals}) == 3
    assert journals[2].owner[2:4] == ("c0ffee", 0)
    for journal in journals:
        journal.close()


def test_a_journal_is_not_made_over_another(path: Path) -> None:
    with pytest.raises(FileExistsError):
        create_journal(path, *OWNER)


def refuse_writes(path: Path) -> None:
    """What this process has open there takes no more writes, as on a disk that fails."""
    descriptors = [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(path)]
    with path.open("rb") as read_only:
        for link in descriptors:
            os.dup2(read_only.fileno(), int(link.name), inheritable=False)


def sync_entries(journal: SqliteJournal, count: int) -> None:
    """One by one: each writes a page or more."""
    for _ in range(count):
        fill(journal, 1)
        journal.sync()


def test_a_disk_that_refuses_checkpoints_is_noticed_by_the_first(path: Path) -> None:
    """SQLite's own tell nobody: the -wal grew for ever, and each sync took longer than the one before."""
    journal = opened(path)
    refuse_writes(path)
    with pytest.raises(sqlite.Error) as refused:
        sync_entries(journal, CHECKPOINT_PAGES)
    assert sqlite.has_disk_failed(refused.value)
    assert wal_of(path).stat().st_size == GROWN_BYTES
    crashed(journal)
    assert opened(path).last_index == journal.last_index, "its last COMMIT stands"


def test_a_vote_takes_a_single_entry_before_it_along(path: Path) -> None:
    """A single entry is written without a transaction of its own making, when it is all there is."""
    journal = opened(path)
    fill(journal, 1)
    journal.setCurrentTerm(2, "n2")
    crashed(journal)
    again = opened(path)
    assert (again.getCurrentTerm(), again.getVotedForNodeId(), again.last_index) == (2, "n2", 1)


def test_a_cut_of_the_last_durable_entry_alone_is_written_too(path: Path) -> None:
    journal = opened(path)
    journal.add(b"old", 1, 1)
    journal.sync()
    journal.cut_from(1)
    assert journal.durable_index == 0
    journal.add(b"new", 1, 2)
    journal.sync()
    crashed(journal)
    assert opened(path).entries(1, 2) == [(b"new", 1, 2)]


@pytest.mark.interpreted
def test_what_a_wal_held_is_in_the_file_before_anything_is_written_after_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last sync may have failed: what is written behind it could be durable, and it not."""
    journal = opened(path)
    fill(journal, 3)
    journal.sync()
    crashed(journal)
    found: list[int] = []

    def change_owner(journal: SqliteJournal, **changes: int | str) -> None:
        if not found:
            shutil.copy(path, tmp_path / "alone.db")
            with closing(sqlite.look_at(tmp_path / "alone.db")) as alone:
                found.append(sqlite.only_row(alone, "SELECT count(*) FROM entry WHERE idx > 0")[0])
            assert not wal_of(path).stat().st_size
        original(journal, **changes)

    original = SqliteJournal._change_owner
    monkeypatch.setattr(SqliteJournal, "_change_owner", change_owner)
    assert opened(path).last_index == 3
    assert found == [3]
