"""Fixtures: a cluster of fake nodes, and the `lastunit` command run in this process."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.real_cluster import kill_all, write_config

from lastunit_node.cli import cluster_commands
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.program import run
from lastunit_node.config import load_cluster

FAKE_PROGRAM = (sys.executable, str(Path(__file__).with_name("fake_node.py")))


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    """A cluster file on free ports."""
    return write_config(tmp_path)


@pytest.fixture
def cluster(cluster_file: Path) -> Iterator[LocalCluster]:
    """A local cluster of fake nodes, none started; none is left afterwards."""
    made = LocalCluster(load_cluster(cluster_file), FAKE_PROGRAM)
    yield made
    kill_all(made)


@pytest.fixture
def lastunit(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """lastunit("up", "--json"): the exit status of the command, on the cluster of fake nodes."""
    monkeypatch.setattr(cluster_commands, "LocalCluster", partial(LocalCluster, program=FAKE_PROGRAM))
    return lambda *words: run([*words, "--config", str(cluster.config.path)])
