"""A log that nobody reads ends no node: neither when a peer goes away, nor at SIGTERM."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.real_cluster import client, write_config

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster

Nodes = dict[str, "subprocess.Popen[bytes]"]


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    """A cluster that is formatted and not started."""
    made = LocalCluster(load_cluster(write_config(tmp_path)))
    made.format()
    return made


@pytest.fixture(params=["a pipe without a reader", "/dev/full"])
def nodes(cluster: LocalCluster, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    """All nodes of the cluster, started by hand; no line of their logs can be written."""
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    stderr = full if request.param == "/dev/full" else writing
    program = [sys.executable, "-m", "lastunit_node.main", "run", "--config", str(cluster.config.path), "--node"]
    with ExitStack() as processes:
        running = {}
        for node in cluster.nodes:
            process = processes.enter_context(subprocess.Popen([*program, node], stderr=stderr))
            processes.callback(process.kill)
            running[node] = process
        os.close(full)
        os.close(writing)
        yield running


async def test_a_log_that_takes_no_line_ends_no_node(cluster: LocalCluster, nodes: Nodes) -> None:
    async with client(cluster, timeout=30.0) as seller:
        await seller.receive_stock({"vase": 10}, receipt_id="delivery")
        nodes["n1"].kill()  # the others log that its connection closed
        await asyncio.to_thread(nodes["n1"].wait)
        for number in range(5):
            assert (await seller.place_order({"vase": 1}, reservation_id=f"order-{number}")).accepted
    left = [nodes["n2"], nodes["n3"]]
    assert [process.poll() for process in left] == [None, None]
    for process in left:
        process.send_signal(signal.SIGTERM)
    assert [await asyncio.to_thread(process.wait, 30) for process in left] == [0, 0]
