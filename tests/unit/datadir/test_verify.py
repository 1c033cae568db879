"""`lastunit-node verify`: whole data is found whole, and every kind of damage is found and named."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import DataDirectory
from lastunit_node.main import main
from lastunit_node.verify import Finding, is_whole, telling, verify_node


def verified(config: ClusterConfig) -> dict[str, Finding]:
    findings = verify_node(config, "n1", lambda line: None)
    assert [finding.part for finding in findings][:1] == ["identity"]
    return {finding.part: finding for finding in findings}


def change(file: Path, statement: str) -> None:
    with closing(sqlite.connect(file)) as connection, connection:
        connection.execute(statement)


def test_whole_data(config: ClusterConfig) -> None:
    found = verified(config)
    assert is_whole(list(found.values()))
    assert found["journal"].facts["last_index"] == found["state"].facts["applied_index"] == 24
    assert found["state against journal"].facts == {"entries_to_replay": 0}
    assert verified(config) == found, "looking changes nothing"


@pytest.mark.parametrize(
    ("file", "statement", "part", "problem"),
    [
        ("journal.db", "UPDATE entry SET bytes = x'00' WHERE idx = 9", "journal", "entry 9 is damaged"),
        ("journal.db", "UPDATE vote SET term = 2", "journal", "term and vote is damaged"),
        ("journal.db", "DELETE FROM entry WHERE idx = 4", "journal", "entry 4 is missing"),
        ("journal.db", "DROP TABLE vote", "journal", "no such table"),
        (
            "state.db",
            "UPDATE reservations SET units = '[]' WHERE reservation_id = 'order-3'",
            "state",
            "do not have the",
        ),
        ("state.db", "UPDATE stock SET last = last - 1", "state", "do not have the digest"),
        ("state.db", "UPDATE clock SET ticks = 7", "state", "do not have the digest"),
        ("state.db", "UPDATE state SET applied_index = 22", "state", "row of applied index"),
        ("state.db", "UPDATE state SET chain = zeroblob(16)", "state", "row of applied index"),
        ("state.db", "DELETE FROM holds WHERE sku = 'lamp'", "state", "index of holds"),
        ("state.db", "INSERT INTO holds VALUES ('vase', 1, 1, 1, 1, 'order-1')", "state", "index of holds"),
        ("state.db", "DELETE FROM identity", "state", "whose it is"),
        ("state.db", "UPDATE identity SET node = 'n2'", "state", "belongs to node 'n2'"),
    ],
)
def test_what_is_wrong_is_named(
    config: ClusterConfig, path: Path, file: str, statement: str, part: str, problem: str
) -> None:
    change(path / file, statement)
    found = verified(config)
    assert not is_whole(list(found.values()))
    assert problem in (found[part].problem or "")
    assert file in (found[part].problem or "")
    assert found["identity"].problem is None


def test_files_that_are_not_from_the_same_moment(config: ClusterConfig, path: Path) -> None:
    change(path / "journal.db", "DELETE FROM entry WHERE idx > 20")
    assert "the journal ends at 20" in (verified(config)["state against journal"].problem or "")


@pytest.mark.parametrize("file", ["journal.db", "state.db"])
def test_a_file_that_is_cut_off_or_gone(config: ClusterConfig, path: Path, file: str) -> None:
    data = (path / file).read_bytes()
    part = file.removesuffix(".db")
    (path / file).write_bytes(data[: len(data) // 2])
    assert f"{file} is" in (verified(config)[part].problem or "")
    (path / file).unlink()
    assert any(f"{file} is missing" in (finding.problem or "") for finding in verified(config).values())


def test_a_node_that_runs_is_not_looked_at(
    config: ClusterConfig, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = DataDirectory(path, config.cluster, config.nodes, "n1")
    assert main(["verify", "--config", str(config.path), "--node", "n1"]) == 2
    assert "in use" in capsys.readouterr().err
    running.close()


def test_for_people_and_for_programs(config: ClusterConfig, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", "--config", str(config.path), "--node", "n1"]
    assert main(arguments) == 0
    assert "n1 is whole" in capsys.readouterr().out
    change(path / "state.db", "UPDATE clock SET ticks = 7")
    assert main(arguments) == 1
    assert "n1 is NOT whole" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["whole"] is False
    assert "digest" in answer["parts"]["state"]["problem"]
    assert answer["parts"]["journal"]["problem"] is None


def test_long_work_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastunit_node.verify.PROGRESS_SECONDS", 0.0)
    told: list[str] = []
    watch = telling(told.append)
    assert len(list(watch((number,) for number in range(15_000)))) == 15_000
    assert len(list(watch((number,) for number in range(15_000)))) == 15_000
    assert told == [f"{count:,} rows of the state checked" for count in (10_000, 20_000, 30_000)]


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Nothing can be written there meanwhile."""
    if subprocess.run(["mount", "--bind", path, path], capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


KILLED = """
import os, sys
from pathlib import Path
from lastunit_node.config import load_cluster
from lastunit_node.datadir import DataDirectory

config = load_cluster(Path(sys.argv[1]))
directory = DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1")
journal, state = directory.open_journal(), directory.open_state()
journal.setCurrentTerm(9, "n1")
os._exit(0)
"""


@pytest.mark.parametrize("has_lock", [True, False])
def test_what_was_closed_can_be_looked_at_where_nothing_can_be_written(
    config: ClusterConfig, path: Path, has_lock: bool
) -> None:
    if not has_lock:
        (path / "LOCK").unlink()
    with read_only(path):
        found = verified(config)
    assert is_whole(list(found.values()))
    assert found == verified(config)


def test_what_a_killed_node_left_can_be_looked_at_where_nothing_can_be_written(
    config: ClusterConfig, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, config.path], check=True)
    with read_only(path):
        found = verified(config)
    assert is_whole(list(found.values()))
    assert found["journal"].facts["term"] == 9, "what is in the -wal was read"

    (path / "journal.db-shm").unlink()
    with read_only(path):
        assert main(["verify", "--config", str(config.path), "--node", "n1"]) == 2
    assert f"copy {path} to where you can write, and verify that" in capsys.readouterr().err
