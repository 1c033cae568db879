"""Data belongs to the members that its cluster was born with: a cluster file that names others is refused."""

import shutil
from pathlib import Path

import pytest
import yaml
from support.real_cluster import CLUSTER_ID

from lastunit_node.config import ClusterConfig, load_cluster
from lastunit_node.datadir import DataDirectory, DirectoryRefused
from lastunit_node.main import main
from lastunit_node.rejoin import rejoin_node
from lastunit_node.verify import is_whole, verify_node

BORN = "members of the cluster are n1, n2, n3, but the cluster file names "


def larger(config: ClusterConfig) -> ClusterConfig:
    """The same cluster file with two more nodes."""
    values = yaml.safe_load(config.path.read_text())
    for name, host in (("n4", "127.0.0.4"), ("n5", "127.0.0.5")):
        values["nodes"][name] = {"grpc": f"{host}:7101", "raft": f"{host}:7201"}
    config.path.write_text(yaml.safe_dump(values))
    return load_cluster(config.path)


def test_other_members_than_the_data_was_made_for_are_refused(
    config: ClusterConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    larger(config)
    assert main(["verify", "--config", str(config.path), "--node", "n1"]) == 1
    said = capsys.readouterr().out
    assert BORN + "n1, n2, n3, n4, n5" in said
    assert "name those in every node's file" in said


def test_their_order_and_their_addresses_may_differ(config: ClusterConfig) -> None:
    values = yaml.safe_load(config.path.read_text())
    values["nodes"] = dict(reversed(values["nodes"].items()))
    values["nodes"]["n2"]["raft"] = "127.0.0.9:7777"
    config.path.write_text(yaml.safe_dump(values))
    assert is_whole(verify_node(load_cluster(config.path), "n1", lambda line: None))


def test_a_node_does_not_rejoin_other_members(config: ClusterConfig, path: Path) -> None:
    """Neither in the place of data that names them, nor beside it."""
    five = larger(config)
    before = sorted(path.parent.iterdir())
    for node in ("n1", "n4"):
        with pytest.raises(DirectoryRefused, match=BORN):
            rejoin_node(five, node)
    assert sorted(path.parent.iterdir()) == before
    shutil.rmtree(path)
    rejoin_node(five, "n1", CLUSTER_ID)
    assert is_whole(verify_node(five, "n1", lambda line: None))


@pytest.mark.parametrize("members", ['"n1"', "7", "null", '["n1", 2, {}]'])
def test_an_identity_that_names_nonsense_is_refused(config: ClusterConfig, path: Path, members: str) -> None:
    identity = path / "identity.json"
    head, tail = identity.read_text().split('"members": [')
    identity.write_text(head + '"members": ' + members + tail[tail.index("]") + 1 :])
    with pytest.raises(DirectoryRefused, match=r"identity\.json"):
        DataDirectory(path, config.cluster, config.nodes, "n1")
