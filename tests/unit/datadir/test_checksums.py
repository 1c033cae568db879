"""Files of a killed node that somebody looked at with a SQLite of their own: whole rows, in pages without checksums."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.wal_files import wal_of, with_checksum

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import DataDirectory
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.tables import LOGICAL_TABLES, RESERVATIONS, select
from lastunit_node.verify import is_whole

from .test_verify import verified


def kill(path: Path) -> Path:
    """The file of the state, whose last commit is in its -wal, as a kill leaves it."""
    state, aside = path / "state.db", path.with_name("aside")
    aside.mkdir()
    with closing(sqlite.connect(state)) as connection:
        row = sqlite.only_row(connection, f"{select(RESERVATIONS)} WHERE reservation_id = 'order-3'")
        connection.execute("DELETE FROM reservations WHERE reservation_id = 'order-3'")
        connection.execute(f"INSERT INTO reservations VALUES ({', '.join('?' * len(row))})", row)
        for file in (state, wal_of(state)):
            shutil.copy(file, aside)
    for file in aside.iterdir():
        shutil.copy(file, path)
    return state


def look(state: Path) -> None:
    """As sqlite3 does."""
    with closing(sqlite3.connect(state)) as connection:
        assert connection.execute("SELECT count(*) FROM reservations").fetchone() > (10,)
    assert not wal_of(state).exists()


def wrong_pages(state: Path) -> list[int]:
    data = state.read_bytes()
    return [start >> 12 for start in range(0, len(data), 4096) if not_right(data[start : start + 4096])]


def not_right(page: bytes) -> bool:
    return page != with_checksum(page)


def opened(config: ClusterConfig) -> list[object]:
    """What a node that starts has."""
    with closing(DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1")) as directory:
        directory.open_journal().close()
        with closing(directory.open_state()) as connection:
            return [sorted(connection.execute(select(schema))) for schema in LOGICAL_TABLES]


def test_who_looked_at_a_killed_node_did_no_harm(config: ClusterConfig, path: Path) -> None:
    before = opened(config)
    killed = kill(path)
    look(killed)
    assert wrong_pages(killed)
    assert is_whole(list(verified(config).values()))
    assert opened(config) == before
    assert wrong_pages(killed) == []


def test_what_they_changed_is_found(config: ClusterConfig, path: Path) -> None:
    killed = kill(path)
    look(killed)
    with closing(sqlite3.connect(killed)) as connection, connection:
        connection.execute("UPDATE reservations SET units = '[]' WHERE reservation_id = 'order-3'")
    with pytest.raises(StateDamaged, match="its rows do not have the digest"):
        opened(config)
