"""A directory that is in use: one process at a time, whatever becomes of LOCK; and its data must stay where it is."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.real_cluster import CLUSTER_ID

from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import (
    DataDirectory,
    DirectoryInUse,
    DirectoryLock,
    DirectoryLost,
    DirectoryRefused,
    format_directory,
)


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


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "state.db", "state.db-wal"])
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


def test_a_node_whose_identity_was_deleted_must_stop(running: DataDirectory, path: Path) -> None:
    (path / "identity.json").unlink()
    with pytest.raises(DirectoryLost, match=r"identity\.json was deleted or moved .*of another node.*start it again"):
        running.require_in_place()


def test_a_node_whose_data_sqlite_moves_goes_on(running: DataDirectory, path: Path) -> None:
    """Checkpoints, of which others may empty a -wal, and whoever looks at a file and leaves."""
    for name in ("journal.db", "state.db"):
        for mode in ("PASSIVE", "RESTART", "TRUNCATE"):
            program = f"import sqlite3; sqlite3.connect({str(path / name)!r}).execute('PRAGMA wal_checkpoint({mode})')"
            subprocess.run([sys.executable, "-c", program], check=True)
            running.require_in_place()


def test_a_directory_without_its_identity_says_how_to_get_that_back(config: ClusterConfig, path: Path) -> None:
    format_directory(config.node_dir("n2"), config.cluster, CLUSTER_ID, config.nodes, "n2")
    of_another = (config.node_dir("n2") / "identity.json").read_text()
    (path / "identity.json").unlink()
    with pytest.raises(DirectoryRefused, match=r"Copy identity\.json of another node to its place and put n1 for"):
        DataDirectory(path, config.cluster, config.nodes, "n1")
    (path / "identity.json").write_text(of_another.replace('"node": "n2"', '"node": "n1"'))
    directory = DataDirectory(path, config.cluster, config.nodes, "n1")
    with closing(directory), closing(directory.open_journal()), closing(directory.open_state()):
        directory.require_in_place()


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
