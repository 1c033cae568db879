"""Writes that begin early: after a COMMIT, all through a checkpoint, and never after close()."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.real_cluster import eventually

from lastunit_node import sqlite
from lastunit_node.replica import write_out
from lastunit_node.replica.write_out import WriteOut


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite.Connection]:
    with closing(sqlite.connect(tmp_path / "state.db")) as opened:
        opened.execute("PRAGMA journal_mode = WAL").fetchall()
        opened.execute("CREATE TABLE t (x)")
        yield opened


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose writes were begun."""
    names: list[str] = []
    really = write_out.begin_to_write

    def note(file: int) -> None:
        names.append(Path(f"/proc/self/fd/{file}").readlink().name)
        really(file)

    monkeypatch.setattr(write_out, "begin_to_write", note)
    return names


@pytest.fixture
def writing(connection: sqlite.Connection) -> Iterator[Callable[[], WriteOut]]:
    problems: list[BaseException] = []
    with closing(WriteOut(connection, problems.append)) as made:
        yield lambda: made
    assert problems == []


def test_the_kernel_takes_the_call(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10_000)
    with file.open("rb") as opened:
        assert write_out._sync_file_range(opened.fileno(), 0, 0, write_out._WRITE) == 0


async def test_both_files_are_begun_once_after_a_commit(begun: list[str], writing: Callable[[], WriteOut]) -> None:
    writing().soon()
    await eventually(lambda: len(begun) == 2, "both are begun")
    assert sorted(begun) == ["state.db", "state.db-wal"]
    assert not writing()._told.is_set(), "nothing is begun again until the next COMMIT"


async def test_they_are_begun_again_and_again_during_a_checkpoint(
    begun: list[str], writing: Callable[[], WriteOut]
) -> None:
    with writing().during_checkpoint():
        await eventually(lambda: begun.count("state.db") > 2, "it goes on by itself")
    await eventually(lambda: not writing()._told.is_set(), "it ends with the checkpoint")


async def test_nothing_is_begun_or_left_open_after_the_end(begun: list[str], connection: sqlite.Connection) -> None:
    problems: list[BaseException] = []
    ended = WriteOut(connection, problems.append)
    files = ended._files
    ended.close()
    ended.soon()
    assert begun == []
    assert not ended._thread.is_alive()
    for file in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


async def test_a_failure_of_the_thread_is_told(monkeypatch: pytest.MonkeyPatch, connection: sqlite.Connection) -> None:
    def fail(_: int) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(write_out, "begin_to_write", fail)
    monkeypatch.setattr("threading.excepthook", lambda _: None)  # as the process ends, nobody would see it
    problems: list[BaseException] = []
    with closing(WriteOut(connection, problems.append)) as failing:
        failing.soon()
        await eventually(lambda: bool(problems), "the node is told")
    assert str(problems[0]) == "a bug"


def test_an_end_that_comes_while_it_pauses_is_not_missed(connection: sqlite.Connection) -> None:
    """The thread looked, and found no end; it is told of one before it forgets what it was told."""
    problems: list[BaseException] = []
    writing = WriteOut(connection, problems.append)
    closer = threading.Thread(target=writing.close, daemon=True)

    class Late(threading.Event):
        def clear(self) -> None:
            if not closer.is_alive():
                closer.start()
                assert writing._closing.wait(10)
                assert told_of_the_end.wait(10)
            super().clear()

        def set(self) -> None:
            super().set()
            if writing._closing.is_set():
                told_of_the_end.set()

    told_of_the_end = threading.Event()
    before, writing._told = writing._told, Late()
    writing.soon()
    before.set()
    writing._thread.join(10)
    assert not writing._thread.is_alive()
    closer.join(10)
    assert problems == []
