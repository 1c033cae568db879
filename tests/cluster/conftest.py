"""Fixtures: real clusters."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.real_cluster import BUSY_COLLECTOR, SMALL_MARGINS, kill_all, local_cluster, write_config

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster

MakeCluster = Callable[..., LocalCluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """make_cluster(nodes=3, **parameters of cluster.yml): a serving cluster."""
    with ExitStack() as stack:
        yield lambda nodes=3, **parameters: stack.enter_context(local_cluster(tmp_path, nodes, **parameters))


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster that keeps some twenty log entries; a node that is started again needs SMALL_MARGINS again."""
    yield from _started_with(SMALL_MARGINS, tmp_path)


@pytest.fixture
def handing_over(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster of nodes whose threads take over in every garbage collection."""
    yield from _started_with(BUSY_COLLECTOR, tmp_path)


def _started_with(environment: dict[str, str], folder: Path) -> Iterator[LocalCluster]:
    """A serving cluster whose nodes have this added to their environment."""
    cluster = LocalCluster(load_cluster(write_config(folder)))
    cluster.format()
    for node in cluster.nodes:
        cluster.start(node, environment)
    cluster.wait_serving()
    yield cluster
    kill_all(cluster)
