"""What a node finds beside its data: states that are not in use any more, and copies that did not arrive."""

from contextlib import closing
from pathlib import Path

import pytest
from support.wal_files import wal_of

from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import DataDirectory, DirectoryLock, DirectoryRefused
from lastunit_node.statemachine.errors import StateDamaged


def opened(config: ClusterConfig) -> DataDirectory:
    directory = DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1")
    directory.open_journal().close()
    return directory


def test_leftovers_are_removed_and_the_state_stays(config: ClusterConfig, path: Path) -> None:
    for name in ("state-7.db", "state-7.db-wal", "copy-arriving.db", "copy-outgoing.db-journal"):
        (path / name).touch()
    kept = {file.name for file in path.iterdir()} - {"state-7.db", "state-7.db-wal"}
    with closing(opened(config)) as directory:
        directory.remove_leftovers()
    assert {file.name for file in path.iterdir()} == {name for name in kept if not name.startswith("copy-")}


def test_a_folder_of_such_a_name_is_not_deleted(config: ClusterConfig, path: Path) -> None:
    (path / "state-7.db").mkdir()
    with closing(opened(config)) as directory, pytest.raises(DirectoryRefused, match=r"state-7\.db is a folder"):
        directory.remove_leftovers()
    assert (path / "state-7.db").is_dir()


def test_what_others_keep_there_is_not_deleted(config: ClusterConfig, path: Path) -> None:
    kept = ["copy-of-mine", "copy-of-my-notes.txt", "copy-1.db", "state-before.db", "state-7.db.gz", "old-state-7.db"]
    for name in kept:
        (path / name).touch()
    with closing(opened(config)) as directory:
        directory.remove_leftovers()
    assert set(kept) <= {file.name for file in path.iterdir()}


def test_a_directory_that_was_let_go_may_be_used_by_others(path: Path) -> None:
    for _ in range(2):
        DirectoryLock(path).close()


def test_a_look_finds_a_damaged_wal_of_the_state(config: ClusterConfig, path: Path) -> None:
    """SQLite would pass over it, and show what was there before."""
    with closing(opened(config)) as directory, closing(directory.open_state()) as connection:
        connection.execute("UPDATE stock SET received = received + 1, sold = sold + 1")
        wal = wal_of(path / "state.db").read_bytes()
    wal_of(path / "state.db").write_bytes(bytes([wal[0] ^ 1]) + wal[1:])
    with closing(opened(config)) as directory, pytest.raises(StateDamaged, match=r"state\.db-wal"):
        directory.inspect_state(iter)
