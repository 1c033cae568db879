"""Fixtures: real clusters."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.real_cluster import local_cluster

from lastunit_node.cli.local_cluster import LocalCluster

MakeCluster = Callable[..., LocalCluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """make_cluster(nodes=3, **parameters of cluster.yml): a serving cluster."""
    with ExitStack() as stack:
        yield lambda nodes=3, **parameters: stack.enter_context(local_cluster(tmp_path, nodes, **parameters))
