"""A node whose disk takes no more ends at once and says so; the others serve; with room it starts and catches up."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.real_cluster import (
    assert_nodes_agree,
    client,
    kill_all,
    leader_of,
    reservations_on,
    write_config,
)

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.processes import ProcessState
from lastunit_node.config import load_cluster

MakeCluster = Callable[..., LocalCluster]

DISK_BYTES = 16 << 20
ROOM_BYTES = 100 << 10  # what is left once the disk is filled
MOST_ORDERS = 2_000


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own, in memory."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here; the test of a file size limit needs no rights")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that leaves little room."""
    ballast = disk / "ballast"
    free = psutil.disk_usage(str(disk)).free
    ballast.write_bytes(bytes(free - ROOM_BYTES))
    return ballast


async def stock(cluster: LocalCluster) -> None:
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10 * MOST_ORDERS}, receipt_id="delivery")


async def order_until_down(cluster: LocalCluster, node: str) -> set[str]:
    """Place orders until a node has ended, and some more; all of them are accepted. Their ids."""
    placed: set[str] = set()
    last = MOST_ORDERS
    async with client(cluster) as buyer:
        while len(placed) < last:
            result = await buyer.place_order({"vase": 1}, reservation_id=f"order-{len(placed)}")
            assert result.accepted
            placed.add(result.request_id)
            if last == MOST_ORDERS and cluster.state(node) is ProcessState.DOWN:
                last = len(placed) + 5
    assert last < MOST_ORDERS, f"{node} still runs"
    return placed


async def comes_back(cluster: LocalCluster, node: str, placed: set[str]) -> None:
    """It starts again, and has what all others have."""
    await asyncio.to_thread(cluster.start, node)
    await asyncio.to_thread(cluster.wait_serving)
    assert placed <= set(await reservations_on(cluster, node))
    await assert_nodes_agree(cluster)


@pytest.mark.parametrize("role", ["leader", "follower"])
async def test_a_write_that_the_system_refuses(make_cluster: MakeCluster, role: str) -> None:
    """By a limit on file sizes: the kernel refuses what is written behind it, with EFBIG; a -wal comes there first."""
    cluster = await asyncio.to_thread(make_cluster)
    await stock(cluster)
    leader = await leader_of(cluster)
    node = leader if role == "leader" else next(name for name in cluster.nodes if name != leader)
    psutil.Process(cluster.running()[node]).rlimit(psutil.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))
    placed = await order_until_down(cluster, node)
    last = cluster.log_tail(node, 1)
    assert "the node stops" in last
    assert "disk refused" in last or "disk full" in last
    assert str(cluster.config.node_dir(node)) in last
    assert "nothing acknowledged was lost" in last
    await comes_back(cluster, node, placed)


async def test_a_start_without_room_is_refused(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    await stock(cluster)
    await asyncio.to_thread(cluster.kill, "n1")
    command = [sys.executable, "-m", "lastunit_node.main", "run", "--config", str(cluster.config.path), "--node", "n1"]
    limited = ["prlimit", "--fsize=1000", *command]
    ended = await asyncio.to_thread(subprocess.run, limited, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "start the node again; nothing acknowledged was lost" in ended.stderr.splitlines()[-1]
    await comes_back(cluster, "n1", set())


async def test_a_full_disk(tmp_path: Path) -> None:
    """ENOSPC of a small file system, which holds all of the node's files, its log too."""
    cluster = LocalCluster(load_cluster(write_config(tmp_path)))
    disk = cluster.config.node_dir("n1")
    with small_disk(disk):
        await asyncio.to_thread(cluster.up)
        try:
            await stock(cluster)
            ballast = await asyncio.to_thread(fill, disk)
            placed = await order_until_down(cluster, "n1")
            assert "disk full: free space on the file system of" in cluster.log_tail("n1", 1)
            ballast.unlink()
            await comes_back(cluster, "n1", placed)
        finally:
            await asyncio.to_thread(kill_all, cluster)
