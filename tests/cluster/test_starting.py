"""A node that must not start says why, in one line, and exits with status 2."""

import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from support.real_cluster import write_config

from lastunit_node.cli.errors import LocalClusterError
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.processes import ProcessState, is_dead, wait_until
from lastunit_node.config import load_cluster
from lastunit_node.statemachine.hashing import state_crc


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    """A cluster that is formatted and not started."""
    made = LocalCluster(load_cluster(write_config(tmp_path)))
    made.format()
    return made


def run_node(cluster: LocalCluster, node: str = "n1") -> str:
    """Run a node that is expected to refuse; its one line on stderr."""
    command = [sys.executable, "-m", "lastunit_node.main", "run", "--config", str(cluster.config.path), "--node", node]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("timestamp=")]
    assert ended.returncode == 2, ended.stderr
    assert len(lines) == 1, ended.stderr
    return lines[0]


@pytest.mark.parametrize("port", ["raft", "grpc"])
def test_a_taken_port(cluster: LocalCluster, port: str) -> None:
    address = getattr(cluster.config.node("n1"), port)
    with socket.create_server((address.host, address.port)):
        assert str(address) in run_node(cluster)


def test_a_directory_of_another_node(cluster: LocalCluster) -> None:
    shutil.rmtree(cluster.config.node_dir("n1"))
    shutil.copytree(cluster.config.node_dir("n2"), cluster.config.node_dir("n1"))
    assert "belongs to node 'n2', not to 'n1'" in run_node(cluster)


def test_a_directory_of_another_cluster(cluster: LocalCluster) -> None:
    path = cluster.config.path
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"cluster": "other"}))
    assert "belongs to cluster 'test', not to 'other'" in run_node(cluster)


def test_a_cluster_file_that_names_other_members(cluster: LocalCluster) -> None:
    """Nodes that count to different majorities would sell one unit twice."""
    path = cluster.config.path
    values = yaml.safe_load(path.read_text())
    values["nodes"]["n9"] = values["nodes"].pop("n3")
    path.write_text(yaml.safe_dump(values))
    assert "members of the cluster are n1, n2, n3, but the cluster file names n1, n2, n9" in run_node(cluster)


@pytest.mark.parametrize("name", ["state.db", "journal.db"])
def test_files_swapped_between_nodes(cluster: LocalCluster, name: str) -> None:
    shutil.copy(cluster.config.node_dir("n2") / name, cluster.config.node_dir("n1") / name)
    assert "belongs to" in run_node(cluster)


@pytest.mark.parametrize("name", ["state.db", "journal.db"])
def test_a_newer_format(cluster: LocalCluster, name: str) -> None:
    connection = sqlite3.connect(cluster.config.node_dir("n1") / name)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "format 99" in run_node(cluster)


@pytest.mark.parametrize("name", ["state.db", "journal.db", "identity.json"])
def test_a_missing_file(cluster: LocalCluster, name: str) -> None:
    (cluster.config.node_dir("n1") / name).unlink()
    assert "lost" in run_node(cluster)


@pytest.mark.parametrize("name", ["copy-outgoing.db", "state-1.db"])
def test_a_folder_where_a_leftover_would_be(cluster: LocalCluster, name: str) -> None:
    folder = cluster.config.node_dir("n1") / name
    (folder / "precious").mkdir(parents=True)
    assert f"{folder} is a folder, which no node made: move it away" in run_node(cluster)
    assert (folder / "precious").is_dir()


def test_a_damaged_identity(cluster: LocalCluster) -> None:
    (cluster.config.node_dir("n1") / "identity.json").write_text("{")
    assert "identity.json is damaged" in run_node(cluster)


def test_a_journal_that_is_older_than_the_state(cluster: LocalCluster) -> None:
    """As after restoring only one of the two files."""
    connection = sqlite3.connect(cluster.config.node_dir("n1") / "state.db")
    chain, digest = connection.execute("SELECT chain, digest FROM state").fetchone()
    connection.execute(
        "UPDATE state SET applied_index = 7, applied_term = 3, crc = ?", (state_crc(7, 3, chain, digest),)
    )
    connection.commit()
    connection.close()
    assert "applied index 7 but the journal ends at 0" in run_node(cluster)


def test_an_address_outside_loopback(cluster: LocalCluster) -> None:
    path = cluster.config.path
    values = yaml.safe_load(path.read_text())
    values["nodes"]["n1"]["grpc"] = "0.0.0.0:7101"
    path.write_text(yaml.safe_dump(values))
    assert "nodes.n1.grpc" in run_node(cluster)


def test_up_refuses_when_one_directory_is_missing_among_others(cluster: LocalCluster) -> None:
    shutil.rmtree(cluster.config.node_dir("n2"))
    with pytest.raises(LocalClusterError, match="n2"):
        cluster.up()
    assert not cluster.config.node_dir("n2").exists(), "a lost node is not taken for a new one"


def test_a_node_is_found_by_its_lock(cluster: LocalCluster) -> None:
    cluster.up()
    try:
        (cluster.config.node_dir("n1") / "node.pid").unlink()
        assert set(cluster.running()) == set(cluster.nodes)
        cluster.kill("n1")
        assert cluster.state("n1") is ProcessState.DOWN
    finally:
        cluster.down()


def test_a_node_opens_as_many_files_as_the_system_lets_it(cluster: LocalCluster) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        cluster.up()
        processes = map(psutil.Process, cluster.running().values())
        assert {process.rlimit(psutil.RLIMIT_NOFILE) for process in processes} == {(hard, hard)}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        cluster.down()


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_node_whose_directory_is_lost_stops_and_rejoins(cluster: LocalCluster, lose: Callable[[Path], None]) -> None:
    cluster.up()
    try:
        process = psutil.Process(cluster.running()["n2"])
        with (cluster.config.node_dir("n2") / "node.log").open("rb") as log:
            lose(cluster.config.node_dir("n2"))
            assert wait_until(lambda: is_dead(process), 10)
            last_line = log.read().decode().splitlines()[-1]
        assert "was deleted or moved while this node ran" in last_line
        assert cluster.rejoin("n2").endswith("counts once the leader admits it")
        cluster.start("n2")
        cluster.wait_admitted("n2", 30)
    finally:
        cluster.down()


def test_a_node_whose_lock_file_is_deleted_goes_on(cluster: LocalCluster) -> None:
    """By a script that cleans up what it takes for stale."""
    cluster.up()
    try:
        pid = cluster.running()["n1"]
        lock = cluster.config.node_dir("n1") / "LOCK"
        lock.unlink()
        assert "is this node running already?" in run_node(cluster)
        assert wait_until(lambda: lock.is_file() and lock.read_text().split() == [str(pid)], 10)
        assert cluster.running()["n1"] == pid
        assert "LOCK was deleted" in cluster.log_tail("n1", 1)
    finally:
        cluster.down()


def test_a_node_whose_terminal_closes_goes_on(cluster: LocalCluster) -> None:
    cluster.up()
    try:
        node = psutil.Process(cluster.running()["n1"])
        node.send_signal(signal.SIGHUP)
        assert not wait_until(lambda: is_dead(node), 1)
        cluster.wait_serving()
    finally:
        cluster.down()


def test_a_running_nodes_directory_is_locked(cluster: LocalCluster) -> None:
    cluster.up()
    try:
        assert "in use" in run_node(cluster)
    finally:
        cluster.down()
