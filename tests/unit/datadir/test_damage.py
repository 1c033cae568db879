"""What the operator is told, and that a state which is not whole is never opened for serving."""

import errno
import os
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.wal_files import flipped

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.damage import explain, has_disk_failed
from lastunit_node.datadir import DataDirectory
from lastunit_node.replica.journal import JournalDamaged
from lastunit_node.statemachine.errors import StateDamaged, StateFormatError, StateIdentityError
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.tables import LOGICAL_TABLES, select

DIRECTORY = Path("/data/n1")


def sqlite_error(*statements: str) -> sqlite.Error:
    connection = sqlite.connect(":memory:")
    *before, last = statements
    for statement in before:
        connection.execute(statement)
    with pytest.raises(sqlite.Error) as caught:
        connection.execute(last)
    connection.close()
    return caught.value


def test_a_full_disk() -> None:
    full = sqlite_error("CREATE TABLE t (a)", "PRAGMA max_page_count = 3", "INSERT INTO t VALUES (zeroblob(1000000))")
    for problem in (full, OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Quota exceeded")):
        line = explain(problem, DIRECTORY)
        assert line.startswith("disk full: free space on the file system of /data/n1, then start the node again")
        assert has_disk_failed(problem)


def test_a_disk_that_fails() -> None:
    readonly = sqlite_error("PRAGMA query_only = 1", "CREATE TABLE t (a)")
    for problem in (readonly, OSError(errno.EIO, "Input/output error")):
        assert explain(problem, DIRECTORY).startswith("the disk refused a read or a write in /data/n1")
        assert has_disk_failed(problem)


def test_a_database_that_another_program_has_locked_is_not_the_disks_fault(path: Path) -> None:
    with closing(sqlite.connect(path / "state.db")) as other, closing(sqlite.connect(path / "state.db")) as writer:
        other.execute("BEGIN IMMEDIATE")
        writer.set_busy_timeout(0)
        with pytest.raises(sqlite.Error) as caught:
            writer.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    line = explain(caught.value, path)
    assert line.startswith(f"another program, such as sqlite3, kept a database in {path} locked")
    assert "start the node again" in line


@pytest.mark.parametrize("kind", [JournalDamaged, StateDamaged])
def test_damage(kind: type[Exception]) -> None:
    line = explain(kind("/data/n1/some.db is damaged"), DIRECTORY)
    assert line.startswith("/data/n1/some.db is damaged. ")
    assert "leave this node stopped" in line
    assert not has_disk_failed(kind("x"))


def test_what_sqlite_cannot_make_sense_of_while_a_node_runs(tmp_path: Path) -> None:
    """SQLite says so, too, of a read that the disk refused."""
    file = tmp_path / "some.db"
    with closing(sqlite.connect(file)) as connection:
        for statement in ("PRAGMA page_size = 512", "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(9000))"):
            connection.execute(statement)
    file.write_bytes(file.read_bytes()[:512] + bytes(file.stat().st_size - 512))
    with closing(sqlite.connect(file)) as connection, pytest.raises(sqlite.UNREADABLE) as caught:
        connection.execute("SELECT a FROM t").fetchall()
    line = explain(caught.value, DIRECTORY)
    assert line.startswith("SQLite can make no sense of what it read in /data/n1 (database disk image is malformed)")
    assert "`lastunit-node verify` tells" in line
    assert "`lastunit-node rejoin`" in line


@pytest.mark.parametrize("file", ["journal.db", "state.db"])
@pytest.mark.parametrize("withheld", ["", "-wal"])
def test_what_only_the_disk_withholds_is_not_given_up(
    config: ClusterConfig, path: Path, monkeypatch: pytest.MonkeyPatch, file: str, withheld: str
) -> None:
    """SQLite says of EIO what it says of nonsense: the disk is asked before the data is blamed."""
    (path / file).write_bytes(bytes(512) + (path / file).read_bytes()[512:])
    with pytest.raises((JournalDamaged, StateDamaged)):
        rows(config)
    really: Callable[..., Any] = Path.open

    def fail(opened: Path, mode: str = "r", *rest: int, **more: Any) -> Any:
        if opened == path / f"{file}{withheld}":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(opened))
        return really(opened, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match=f"Input/output error.*{file}{withheld}") as refused:
        rows(config)
    assert has_disk_failed(refused.value)


def test_anything_else_is_one_line() -> None:
    assert explain(ValueError("one\n  two"), DIRECTORY) == "one two"
    assert not has_disk_failed(sqlite_error("SELECT nonsense"))


@pytest.mark.parametrize("mask", [0x21, 0x80])
def test_a_flipped_byte_of_a_state_is_found_or_harmless(config: ClusterConfig, path: Path, mask: int) -> None:
    state = path / "state.db"
    data = state.read_bytes()
    used = [position for position, byte in enumerate(data) if byte]
    whole, refused = rows(config), 0
    for position in random.Random(4).sample(used, 300):
        state.write_bytes(flipped(data, position, mask))
        try:
            found = rows(config)
        except (StateDamaged, StateFormatError, StateIdentityError):
            refused += 1
        else:
            assert found == whole, position
    assert refused > 100  # a third of what is not zero is what the schema's first page held before it was split


def rows(config: ClusterConfig) -> list[object]:
    """What a node would serve."""
    directory = DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1")
    try:
        directory.open_journal(read_only=True).close()
        with closing(directory.inspect_state(iter)) as connection:
            found = [connection.execute(select(schema)).fetchall() for schema in LOGICAL_TABLES]
            return [*found, StateMachine(connection).state_hash()]
    finally:
        directory.close()
