"""Opening a state database: ours, this node's, of a format we read; else a message that says what is wrong."""

from contextlib import closing
from pathlib import Path

import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine.database import Identity, check_owner, open_reader, open_state
from lastunit_node.statemachine.errors import StateDamaged, StateFormatError, StateIdentityError
from lastunit_node.statemachine.schema import APPLICATION_ID, FORMAT_VERSION

IDENTITY = Identity("3f0c", "n1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    open_state(path, identity=IDENTITY).close()
    return path


def test_a_new_database_is_fresh_and_carries_its_format(path: Path) -> None:
    with closing(open_state(path, identity=IDENTITY)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("SELECT applied_index, applied_term FROM state").fetchone() == (0, 0)


def test_it_is_in_wal_mode_and_syncs_at_checkpoints(path: Path) -> None:
    with closing(open_state(path, identity=IDENTITY)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)


def test_every_table_is_strict(path: Path) -> None:
    with closing(open_state(path, identity=IDENTITY)) as connection:
        loose = "SELECT name FROM pragma_table_list WHERE NOT strict AND name NOT LIKE 'sqlite_%'"
        assert connection.execute(loose).fetchall() == []


@pytest.mark.parametrize(
    ("identity", "names"),
    [(Identity("3f0c", "n2"), ["'n1'", "'n2'"]), (Identity("9a9a", "n1"), ["3f0c", "9a9a"])],
)
def test_the_state_of_another_node_or_cluster_is_refused(path: Path, identity: Identity, names: list[str]) -> None:
    with pytest.raises(StateIdentityError) as caught:
        open_state(path, identity=identity)

    assert all(name in str(caught.value) for name in [str(path), *names])


@pytest.mark.parametrize(
    ("damage", "says"),
    [("DELETE FROM identity", "does not say whose it is"), ("UPDATE identity SET node = x'6e31'", "cannot be read")],
)
def test_a_state_that_does_not_say_whose_it_is_is_damaged(path: Path, damage: str, says: str) -> None:
    with closing(sqlite.connect(path)) as connection:
        connection.execute("CREATE TABLE loose AS SELECT * FROM identity; DROP TABLE identity")
        connection.execute("ALTER TABLE loose RENAME TO identity")
        connection.execute(damage)

    with pytest.raises(StateDamaged, match=f"is damaged: .*{says}"):
        open_state(path, identity=IDENTITY)


def test_a_newer_format_is_refused(path: Path) -> None:
    with closing(sqlite.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")

    with pytest.raises(StateFormatError, match=f"state format {FORMAT_VERSION + 1}; .* reads up to {FORMAT_VERSION}"):
        open_state(path, identity=IDENTITY)
    with closing(open_reader(path)) as reader, pytest.raises(StateFormatError, match="reads up to"):
        check_owner(reader, path, IDENTITY)


@pytest.mark.parametrize("version", [1, FORMAT_VERSION - 1])
def test_an_older_format_is_refused(path: Path, version: int) -> None:
    """Its tables are others: that is no damage."""
    with closing(sqlite.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(StateFormatError, match=f"state format {version}; .* start the one that made it"):
        open_state(path, identity=IDENTITY)


@pytest.mark.parametrize("statement", ["CREATE TABLE notes (text)", f"PRAGMA user_version = {FORMAT_VERSION}"])
def test_a_database_of_someone_else_is_refused(tmp_path: Path, statement: str) -> None:
    with closing(sqlite.connect(tmp_path / "notes.db")) as connection:
        connection.execute(statement)

    with pytest.raises(StateFormatError, match="not a state database of lastunit"):
        open_state(tmp_path / "notes.db", identity=IDENTITY)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, but as long as one may be" * 100)

    with pytest.raises(StateDamaged, match="cannot be read as a state database"):
        open_state(tmp_path / "state.db", identity=IDENTITY)


def test_a_reader_cannot_write(path: Path) -> None:
    with (
        closing(open_reader(path)) as reader,
        pytest.raises(sqlite.Error, match="readonly"),
    ):
        reader.execute("UPDATE state SET applied_index = 1")


def test_a_reader_of_a_missing_file_makes_none(tmp_path: Path) -> None:
    with pytest.raises(sqlite.Error):
        open_reader(tmp_path / "state.db")

    assert not (tmp_path / "state.db").exists()
