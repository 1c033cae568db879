"""A directory that is in use: one process at a time, whatever becomes of LOCK; and its data must stay where it is."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import DataDirectory, DirectoryInUse, DirectoryLock, DirectoryLost


@pytest.fixture
def running(config: ClusterConfig, path: Path) -> Iterator[DataDirectory]:
    """The directory, opened as a node opens it."""
    directory = DataDirectory(path, config.cluster, config.nodes, "n1")
    directory.name_process()
    with closing(directory), closing(directory.open_journal()), closing(directory.open_state()):
        yield directory


def delete(lock: Path) -> None:
    lock.unlink()


def replace(lock: Path) -> None:
    lock.unlink()
    lock.write_text("1\n")


@pytest.mark.parametrize("lose", [delete, replace])
def test_a_lock_file_that_is_lost_lets_nobody_in_and_is_made_again(
    running: DataDirectory, path: Path, lose: Callable[[Path], None]
) -> None:
    lose(path / "LOCK")
    with pytest.raises(DirectoryInUse):
        DirectoryLock(path)
    with capture_logs() as logs:
        running.require_in_place()
        running.require_in_place()
    assert [each["log_level"] for each in logs] == ["warning"]
    assert (path / "LOCK").read_text().split() == [str(os.getpid())]
    with (path / "LOCK").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_file_that_somebody_looks_at_is_made_again_later(running: DataDirectory, path: Path) -> None:
    replace(path / "LOCK")
    with (path / "LOCK").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        running.require_in_place()
        assert (path / "LOCK").read_text() == "1\n"
    running.require_in_place()
    assert (path / "LOCK").read_text().split() == [str(os.getpid())]


@pytest.mark.parametrize("name", ["journal.db", "state.db"])
@pytest.mark.parametrize("has_copy", [True, False])
def test_a_node_whose_data_was_deleted_or_replaced_must_stop(
    running: DataDirectory, path: Path, name: str, has_copy: bool
) -> None:
    """As by `rm -rf n1/*`, whether or not a backup is put there within the same second."""
    data = (path / name).read_bytes()
    running.require_in_place()
    (path / "LOCK").unlink()
    (path / name).unlink()
    if has_copy:
        (path / name).write_bytes(data)
    with pytest.raises(DirectoryLost, match=f"{name} was deleted or moved while this node ran"):
        running.require_in_place()


def test_a_directory_that_was_moved_while_its_lock_was_taken_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_lock = fcntl.flock

    def lock(descriptor: int, operation: int) -> None:
        path.rename(path.with_name("n1.old-1"))
        path.mkdir()
        really_lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    with pytest.raises(DirectoryInUse, match="another directory"):
        DirectoryLock(path)


def test_a_directory_is_free_again_when_it_is_closed(path: Path) -> None:
    for _ in range(2):
        with closing(DirectoryLock(path)), pytest.raises(DirectoryInUse):
            DirectoryLock(path)
