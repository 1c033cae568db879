"""Data directories are made for a new cluster only, and nothing that is not ours is deleted."""

import fcntl
import json
import os
import shutil
from functools import partial

import pytest

from lastunit_node.cli import data_directories
from lastunit_node.cli.errors import LocalClusterError
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster

from .conftest import FAKE_PROGRAM


def identities(cluster: LocalCluster) -> list[dict[str, str]]:
    return [json.loads((cluster.config.node_dir(node) / "identity.json").read_text()) for node in cluster.nodes]


def make_data(cluster: LocalCluster) -> None:
    """What format makes, without its processes."""
    for node in cluster.nodes:
        folder = cluster.config.node_dir(node)
        folder.mkdir(parents=True)
        (folder / "identity.json").write_text(json.dumps({"cluster": cluster.config.cluster, "node": node}))


def test_format_gives_all_nodes_one_cluster_id(cluster: LocalCluster) -> None:
    assert not cluster.data.exist()
    cluster.format()
    assert cluster.data.exist()
    assert [identity["node"] for identity in identities(cluster)] == list(cluster.nodes)
    assert len({identity["cluster_id"] for identity in identities(cluster)}) == 1


def test_data_is_never_formatted_over(cluster: LocalCluster) -> None:
    make_data(cluster)
    before = identities(cluster)
    with pytest.raises(LocalClusterError, match="n1, n2, n3 has data"):
        cluster.format()
    assert identities(cluster) == before


def test_one_missing_among_others_is_refused(cluster: LocalCluster) -> None:
    make_data(cluster)
    shutil.rmtree(cluster.config.node_dir("n2"))
    for action in (cluster.data.exist, cluster.up, lambda: cluster.start("n2"), cluster.format):
        with pytest.raises(LocalClusterError):
            action()
    assert not cluster.config.node_dir("n2").exists()


@pytest.mark.parametrize("members", [["n1", "n2", "n4"], ["n1", "n2"], ["n1", "n2", "n3", "n4", "n5"], [{}]])
def test_a_file_that_names_other_members_is_refused(cluster: LocalCluster, members: list[object]) -> None:
    """And no data are to be lost for it."""
    make_data(cluster)
    identity = cluster.config.node_dir("n2") / "identity.json"
    identity.write_text(json.dumps(json.loads(identity.read_text()) | {"members": members}))
    shutil.rmtree(cluster.config.node_dir("n3"))
    for action in (cluster.data.exist, cluster.up, partial(cluster.start, "n3")):
        with pytest.raises(LocalClusterError, match="keeps the members that it was born with; name those"):
            action()


def test_logs_alone_are_not_data(cluster: LocalCluster) -> None:
    for node in cluster.nodes:
        folder = cluster.config.node_dir(node)
        folder.mkdir(parents=True)
        for name in ("node.log", "node.pid", "LOCK"):
            (folder / name).touch()
    cluster.format()
    assert cluster.data.exist()


def test_what_a_file_system_brings_is_not_data(cluster: LocalCluster) -> None:
    for node in cluster.nodes:
        (cluster.config.node_dir(node) / "lost+found").mkdir(parents=True)
    assert not cluster.data.exist()
    cluster.format()
    assert cluster.data.exist()
    cluster.erase()
    assert not cluster.data.exist()


def test_a_format_that_fails_leaves_nothing_behind(cluster: LocalCluster) -> None:
    cluster.config.path.with_name("mode-n3").write_text("refuse-format")
    with pytest.raises(LocalClusterError, match="format` of n3 failed: n3 will not format"):
        cluster.format()
    assert not cluster.data.exist()


@pytest.mark.parametrize("verb", ["format", "rejoin"])
def test_a_disk_that_hangs(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    if verb == "rejoin":
        make_data(cluster)
    cluster.config.path.with_name("mode-n1").write_text(f"hang-{verb}")
    monkeypatch.setattr(data_directories, "FORMAT_LIMIT_S", 1.0)
    said = rf"{verb}` of n1 took longer than 1 s and was ended: see whether the disk of .*n1 is slow or hangs"
    with pytest.raises(LocalClusterError, match=said):
        cluster.format() if verb == "format" else cluster.rejoin("n1")


def test_erase(cluster: LocalCluster) -> None:
    make_data(cluster)
    (cluster.config.node_dir("n1") / "state.db-wal").touch()
    beside = cluster.config.data_dir / "other"
    beside.mkdir()
    (beside / "state.db").touch()
    cluster.erase()
    assert not any(list(cluster.config.node_dir(node).iterdir()) for node in cluster.nodes)
    assert (beside / "state.db").exists()


def test_a_directory_that_is_elsewhere_is_erased_and_stays(cluster: LocalCluster) -> None:
    """Linked, as here, or mounted."""
    make_data(cluster)
    folder, elsewhere = cluster.config.node_dir("n2"), cluster.config.path.with_name("disk")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    (elsewhere / "lost+found").mkdir()
    (elsewhere / "lost+found" / "state.db").touch()
    cluster.up(fresh=True)
    assert folder.is_symlink()
    assert (elsewhere / "lost+found" / "state.db").exists()


def test_nothing_is_deleted_when_one_cannot_be(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(cluster)
    read_only = str(cluster.config.node_dir("n3"))
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != read_only)
    with pytest.raises(LocalClusterError, match=rf"Permission denied \({read_only}\); make it writable"):
        cluster.up(fresh=True)
    shutil.rmtree(read_only)
    cluster.config.node_dir("n3").symlink_to("a disk that is not mounted")
    with pytest.raises(LocalClusterError, match=rf"No such file or directory \({read_only}\)"):
        cluster.up(fresh=True)
    assert all(cluster.data.has_data(node) for node in ("n1", "n2"))


def test_a_folder_of_such_a_name_is_not_deleted(cluster: LocalCluster) -> None:
    make_data(cluster)
    (cluster.config.node_dir("n3") / "state.db").mkdir()
    with pytest.raises(LocalClusterError, match=r"holds state\.db, which no node made"):
        cluster.erase()
    assert cluster.data.exist()


@pytest.mark.parametrize("name", ["thesis.doc", "state"])
def test_what_no_node_made_is_not_deleted(cluster: LocalCluster, name: str) -> None:
    make_data(cluster)
    strange = cluster.config.node_dir("n3") / name
    strange.touch()
    with pytest.raises(LocalClusterError, match=f"holds {name}, which no node made"):
        cluster.erase()
    assert cluster.data.exist()
    assert strange.exists()


def test_data_of_another_cluster_is_not_deleted(cluster: LocalCluster) -> None:
    make_data(cluster)
    identity = cluster.config.node_dir("n1") / "identity.json"
    identity.write_text(json.dumps({"cluster": "precious"}))
    with pytest.raises(LocalClusterError, match="holds data of the cluster 'precious'"):
        cluster.up(fresh=True)
    assert cluster.data.exist()


def test_a_damaged_identity_may_be_erased(cluster: LocalCluster) -> None:
    make_data(cluster)
    (cluster.config.node_dir("n1") / "identity.json").write_text("{")
    cluster.erase()
    assert not cluster.data.exist()


def test_a_directory_in_use_is_not_deleted(cluster: LocalCluster) -> None:
    """A node that has no PID file still holds its lock."""
    make_data(cluster)
    with (cluster.config.node_dir("n2") / "LOCK").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LocalClusterError, match="already running: n2"):
            cluster.erase()
    cluster.erase()


@pytest.mark.parametrize("below", ["", "below"])
def test_a_data_dir_that_is_a_file(cluster: LocalCluster, below: str) -> None:
    path = cluster.config.path
    bad = path.with_name("file")
    bad.touch()
    path.write_text(path.read_text().replace("data_dir: data", f"data_dir: file/{below}"))
    same = LocalCluster(load_cluster(path), FAKE_PROGRAM)
    for action in (same.up, partial(same.up, fresh=True)):
        with pytest.raises(
            LocalClusterError, match=r"data_dir .*file.*: .*; make it writable, or set another in .*yml"
        ):
            action()


def test_a_node_directory_that_is_a_file(cluster: LocalCluster) -> None:
    cluster.config.data_dir.mkdir()
    cluster.config.node_dir("n2").touch()
    for action in (cluster.up, cluster.format, partial(cluster.data.in_use, "n2")):
        with pytest.raises(LocalClusterError, match=r"data_dir .*data: .* \(.*n2.*\); make it writable"):
            action()


def test_a_log_and_a_pid_that_cannot_be_written(cluster: LocalCluster) -> None:
    cluster.format()
    for name in ("node.log", "node.pid.new"):
        (cluster.config.node_dir("n1") / name).mkdir()
        with pytest.raises(LocalClusterError, match=rf"data_dir .*: Is a directory \(.*{name}\); make it writable"):
            cluster.up()
        (cluster.config.node_dir("n1") / name).rmdir()
    assert not cluster.running()


def test_two_commands_do_not_start_nodes_at_once(cluster: LocalCluster) -> None:
    refused = pytest.raises(LocalClusterError, match="another lastunit command is starting nodes")
    with cluster.data.exclusive(), refused:
        cluster.up()
    with cluster.data.exclusive():
        pass
