"""Fixtures: a network of real Raft nodes in virtual time."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pysyncobj import syncobj as pysyncobj_module
from support.raft_network import Network, VirtualTime


@pytest.fixture
def make_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Network]]:
    networks: list[Network] = []

    def make(count: int) -> Network:
        time = VirtualTime()
        monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda: time.now)
        monkeypatch.setattr(pysyncobj_module, "random", random.Random(count))
        networks.append(Network(tmp_path, count, time))
        return networks[-1]

    yield make
    for network in networks:
        for node in network.nodes.values():
            node.close()
