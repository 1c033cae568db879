"""A power loss at every moment of a journal's life: every promise it made is kept, and nothing else appears."""

from pathlib import Path
from typing import NamedTuple

import pytest
from support.crashes import crashes
from support.recording_vfs import Recorder, recorded

from lastunit_node.replica.entry_cache import LogEntry
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.journal_file import create_journal

OWNER = ("cluster-id", "n1")
SIZES = (10, 700, 9_000, 60, 2_500)  # bytes of entries: some share a page, some need several


class Memory(NamedTuple):
    """What a journal must remember."""

    entries: tuple[LogEntry, ...]
    term: int
    vote: str | None


def memory(journal: SqliteJournal) -> Memory:
    entries = tuple(journal.entries(0, 1 << 40))
    return Memory(entries, journal.getCurrentTerm(), journal.getVotedForNodeId())


class Life:
    """A journal at work, promising after each step."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        self._path = path
        self._recorder = recorder
        create_journal(path, *OWNER)
        recorder.directory_synced()  # as format_directory does
        self.open()

    def open(self) -> None:
        self._journal = SqliteJournal(self._path, *OWNER)
        self._recorder.promise(memory(self._journal))

    def append(self, *sizes: int) -> None:
        for size in sizes:
            index = self._journal.last_index + 1
            self._journal.add(bytes([index % 256]) * size, index, self._journal.getCurrentTerm())
        self._journal.sync()
        self._recorder.promise(memory(self._journal))

    def vote(self, term: int, vote: str | None) -> None:
        self._journal.setCurrentTerm(term, vote)
        self._recorder.promise(memory(self._journal))

    def replace(self, index: int, *sizes: int) -> None:
        self._journal.cut_from(index)
        self.append(*sizes)

    def trim(self, keep_from: int) -> None:
        self._journal.trim(keep_from, 1_000)
        self._recorder.promise(memory(self._journal))

    def install(self, index: int, term: int) -> None:
        self._journal.install(f"state-{index}.db", index, term)
        self._recorder.promise(memory(self._journal))

    def close(self) -> None:
        self._journal.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    recorder = Recorder()
    with recorded(recorder, checkpoint_pages=12):
        life = Life(tmp_path_factory.mktemp("recorded") / "journal.db", recorder)
        for term in range(1, 4):
            life.vote(term, "n2")
            life.append(*SIZES)
            life.append(40)
            life.vote(term, None)
            life.replace(4 * term, 300, 5_000)
        life.trim(5)
        life.close()
        life.open()
        life.append(*SIZES)
        life.install(40, 7)
        life.append(20)
    return recorder


def test_the_history_has_what_matters(history: Recorder) -> None:
    kinds = {(op.kind, op.file) for op in history.ops}
    assert kinds >= {
        ("write", "journal.db"), ("write", "journal.db-wal"), ("sync", "journal.db"), ("sync", "journal.db-wal"),
        ("truncate", "journal.db-wal"), ("delete", "journal.db-wal"),
    }  # fmt: skip
    headers = [op for op in history.ops if op.file == "journal.db-wal" and op.kind == "write" and op.offset == 0]
    assert len(headers) > 4, "the log starts over in a file with frames of earlier ones"


def test_every_promise_is_kept_at_every_moment(history: Recorder, folder: Path) -> None:
    """And none of these disks, which only a crash has touched, is taken for a damaged one."""
    seen = 0
    for crash in crashes(history, seed=1):
        crash.lay_out(folder)
        journal = SqliteJournal(folder / "journal.db", *OWNER)
        assert memory(journal) in history.before_and_after(crash.moment), crash.story
        journal.check_pages()
        journal.close()
        seen += 1
    assert seen > 500
