"""Real nodes with a proxy on every link: each node has a cluster file of its own, in which its peers are proxies.

Nodes start and end as LocalCluster does it, by the PIDs it wrote down. Clients reach every node through a proxy too,
and directly where they measure.
"""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import yaml
from support.real_cluster import kill_all

from chaos.proxy import CLIENTS, Network
from lastunit_node.cli.errors import LocalClusterError
from lastunit_node.cli.local_cluster import NODE_PROGRAM, LocalCluster
from lastunit_node.cli.processes import NodeProcess
from lastunit_node.cli.sale.cluster import free_ports
from lastunit_node.config import Address, ClusterConfig, load_cluster

TICK_MS = 50
HOLD_TICKS = 60
HOLD_CAP_TICKS = 400
SMALL_DISK_BYTES = 384 << 20
ROOM_BYTES = 64 << 10  # what is left on a disk that is filled
MOVED_CLOCK = Path(__file__).parent / "moved_clock"


class ChaosCluster(LocalCluster):
    """The nodes. `folder` has their data and files; `network` is what lies between them."""

    def __init__(self, config: ClusterConfig, network: Network) -> None:
        super().__init__(config)
        self.network = network
        self.folder = config.path.parent
        self.client_ports: dict[str, int] = {}
        self.small_disk = ""  # the node whose disk is a small file system, where this system allows one
        self._processes = {node: NodeProcess(node, config.node_dir(node), self._command(node)) for node in config.nodes}
        for node in config.nodes:
            self.move_clock(node, 0)

    def _command(self, node: str) -> list[str]:
        return [*NODE_PROGRAM, "run", "--config", str(self.file_of(node)), "--node", node]

    def file_of(self, node: str) -> Path:
        """The node's own cluster file."""
        return self.folder / f"cluster-{node}.yml"

    def start(self, node: str, environment: Mapping[str, str] | None = None) -> int:
        """Start it, whatever state the other nodes' disks are in."""
        return super()._process(node).start({**os.environ, **self._clock(node), **(environment or {})})

    # Clocks.

    def move_clock(self, node: str, hours: float) -> None:
        """Set how far the wall clock of a node is off, also of one that runs."""
        self._clock_file(node).write_text(f"{hours * 3600}\n", encoding="utf-8")

    def _clock_file(self, node: str) -> Path:
        return self.folder / f"{node}.clock"

    def _clock(self, node: str) -> dict[str, str]:
        return {"PYTHONPATH": str(MOVED_CLOCK), "LASTUNIT_CHAOS_CLOCK": str(self._clock_file(node))}

    # Disks.

    def mount_small_disk(self, node: str) -> bool:
        """Give a node that has no data a small file system of its own; whether that is allowed here."""
        folder = self.config.node_dir(node)
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(folder)]
        with contextlib.suppress(OSError):
            if not subprocess.run(mount, capture_output=True, check=False, timeout=10).returncode:
                self.small_disk = node
        return bool(self.small_disk)

    def unmount(self) -> None:
        """Undo mount_small_disk."""
        if self.small_disk:
            umount = ["umount", "--lazy", str(self.config.node_dir(self.small_disk))]
            subprocess.run(umount, capture_output=True, check=False, timeout=10)

    def fill_disk(self) -> Path:
        """Leave hardly any room on the small disk; the file to delete."""
        folder = self.config.node_dir(self.small_disk)
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            while not self._take_room(file.fileno(), psutil.disk_usage(str(folder)).free - ROOM_BYTES):
                pass  # the node took some of it meanwhile
        return ballast

    @staticmethod
    def _take_room(file: int, size: int) -> bool:
        try:
            if size > 0:
                os.posix_fallocate(file, 0, size)
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise
            return False
        return True

    def wipe(self, node: str) -> None:
        """Delete the data of a node that is down, and have it make an empty directory to catch up into."""
        shutil.rmtree(self.config.node_dir(node))
        self.rejoin(node)


@asynccontextmanager
async def chaos_cluster(folder: Path, nodes: int) -> AsyncIterator[ChaosCluster]:
    """A serving cluster behind proxies; nothing of it runs or is mounted after the block."""
    ports = free_ports()
    names = [f"n{number}" for number in range(1, nodes + 1)]
    network = Network(names)
    members = {name: {"grpc": f"127.0.0.1:{next(ports)}", "raft": f"127.0.0.1:{next(ports)}"} for name in names}
    cluster = ChaosCluster(load_cluster(write_file(folder / "cluster.yml", members)), network)
    try:
        for name in names:
            await _surround(cluster, name, members, ports)
        cluster.mount_small_disk(names[-1])
        cluster.format()
        for name in names:
            cluster.start(name)
        yield cluster
    finally:
        with contextlib.suppress(LocalClusterError):
            kill_all(cluster)
        cluster.unmount()
        await network.close()


async def _surround(cluster: ChaosCluster, name: str, members: dict[str, dict[str, str]], ports: Iterator[int]) -> None:
    """Open the proxies through which a node reaches its peers, and clients the node; write its cluster file."""
    node = cluster.config.node(name)
    cluster.client_ports[name] = await _open(cluster, CLIENTS, name, node.grpc, ports)
    seen = {name: members[name]}
    for peer in [peer for peer in cluster.nodes if peer != name]:
        addresses = cluster.config.node(peer)
        grpc = await _open(cluster, name, peer, addresses.grpc, ports)
        raft = await _open(cluster, name, peer, addresses.raft, ports)
        seen[peer] = {"grpc": f"127.0.0.1:{grpc}", "raft": f"127.0.0.1:{raft}"}
    write_file(cluster.file_of(name), {each: seen[each] for each in cluster.nodes})


async def _open(cluster: ChaosCluster, dialler: str, target: str, to: Address, ports: Iterator[int]) -> int:
    port = next(ports)
    await cluster.network.connect(dialler, target, port, to)
    return port


def write_file(path: Path, members: dict[str, dict[str, str]]) -> Path:
    """A cluster file; the data lies beside it."""
    values = {"cluster": "chaos", "data_dir": "data", "nodes": members, "tick_ms": TICK_MS}
    rules = {"hold_ticks": HOLD_TICKS, "hold_cap_ticks": HOLD_CAP_TICKS}
    path.write_text(yaml.safe_dump(values | rules, sort_keys=False), encoding="utf-8")
    return path
