"""The cluster files that come with the project: valid, complete, explained, and able to run side by side."""

from itertools import pairwise
from pathlib import Path

import pytest

from lastunit_node.config import ClusterConfig, load_cluster

ROOT = Path(__file__).resolve().parents[3]
FILES = {"cluster.yml": 3, "cluster-5.yml": 5}


@pytest.mark.parametrize(("name", "nodes"), FILES.items())
def test_valid(name: str, nodes: int) -> None:
    assert len(load_cluster(ROOT / name).nodes) == nodes


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_there_under_a_comment(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    commented = {
        line.partition(":")[0] for above, line in pairwise(lines) if above.startswith("#") and line[:1].isalpha()
    }
    assert commented == set(ClusterConfig.model_fields)


def test_both_can_run_at_once() -> None:
    configs = [load_cluster(ROOT / name) for name in FILES]
    addresses = [address for config in configs for node in config.nodes.values() for address in (node.grpc, node.raft)]
    assert len(set(addresses)) == len(addresses)
    assert len({config.data_dir for config in configs}) == len({config.cluster for config in configs}) == len(FILES)
