"""The throw-away cluster of one sale: real node processes in a temporary directory, on ports nobody else uses.

Nothing is left of it afterwards, however the sale ends. It never meets the cluster of the user's own cluster.yml.
"""

import asyncio
import contextlib
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import yaml

from lastunit_client import AsyncInventoryClient
from lastunit_node.cli.errors import LocalClusterError, NodeFaultError
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.node_status import NodeStatus
from lastunit_node.cli.sale.chaos import Leader
from lastunit_node.cli.sale.faults import SaleFault
from lastunit_node.config import load_cluster

LIMIT_SECONDS: Final = 30.0  # for a leader to be elected, a node to catch up, a buyer's call to be answered
POLL_SECONDS: Final = 0.02
HOLD_TICKS: Final = 600  # a minute: only the zombie's hold is meant to run out
PORTS: Final = range(15_000, 32_000)  # below the ephemeral ports of every system


class SaleCluster:
    """The running cluster. Its methods are coroutines; what blocks runs in threads."""

    def __init__(self, local: LocalCluster) -> None:
        self._local = local
        self._terms: list[int] = []

    @property
    def names(self) -> Sequence[str]:
        """All nodes."""
        return self._local.nodes

    @property
    def terms(self) -> tuple[int, ...]:
        """The terms in which leader() found one, in order."""
        return tuple(self._terms)

    def endpoint(self, node: str) -> str:
        """Where clients reach a node."""
        return str(self._local.config.node(node).grpc)

    def client(self, home: str) -> AsyncInventoryClient:
        """A new client that prefers one node and knows them all."""
        first = self.names.index(home)
        order = [*self.names[first:], *self.names[:first]]
        return AsyncInventoryClient([self.endpoint(name) for name in order], timeout=LIMIT_SECONDS)

    async def leader(self, after_term: int = 0) -> Leader:
        """The leader of a later term; waits until there is one that has a quorum."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while (leader := _leader(await self._statuses(), after_term)) is None:
            if time.monotonic() >= deadline:
                raise SaleFault(f"no leader was elected within {LIMIT_SECONDS:g} s after term {after_term}")
            await asyncio.sleep(POLL_SECONDS)
        if not self._terms or leader.term > self._terms[-1]:
            self._terms.append(leader.term)
        return leader

    async def clock(self) -> int:
        """The logical clock, as far as any node knows."""
        return max(status.clock or 0 for status in await self._statuses())

    async def kill(self, node: str) -> int:
        """SIGKILL; the process id it had."""
        pid = self._local.running().get(node, 0)
        await asyncio.to_thread(self._local.kill, node)
        return pid

    async def start(self, node: str) -> int:
        """Start it again and wait until it has caught up; the log index it had to reach."""
        index = max(status.commit_index or 0 for status in await self._statuses())
        self._local.start(node)
        await asyncio.to_thread(self._local.wait_serving, LIMIT_SECONDS, [node])
        await self._applied(node, index)
        return index

    async def pause(self, node: str) -> None:
        """SIGSTOP."""
        await asyncio.to_thread(self._local.pause, node)

    async def resume(self, node: str) -> None:
        """SIGCONT."""
        await asyncio.to_thread(self._local.resume, node)

    async def _applied(self, node: str, index: int) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while ((await asyncio.to_thread(self._local.status, node)).applied_index or 0) < index:
            if time.monotonic() >= deadline:
                raise SaleFault(f"{node} has not caught up to index {index} within {LIMIT_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)

    async def _statuses(self) -> list[NodeStatus]:
        return list((await asyncio.to_thread(self._local.statuses)).values())


@asynccontextmanager
async def throwaway_cluster(nodes: int) -> AsyncIterator[SaleCluster]:
    """Bring up a cluster of so many nodes; nothing of it is left after the block."""
    with tempfile.TemporaryDirectory(prefix="lastunit-sale-") as folder:
        local = LocalCluster(load_cluster(write_cluster_file(Path(folder), nodes)))
        try:
            await _start_to_the_end(local)
            await asyncio.to_thread(local.wait_serving, LIMIT_SECONDS)
            yield SaleCluster(local)
        except NodeFaultError as fault:
            raise NodeFaultError(fault.problem, fault.log_tail) from None  # its log goes with the cluster
        finally:
            kill_all(local)


def write_cluster_file(folder: Path, nodes: int) -> Path:
    """A cluster.yml for nodes n1, n2, ... on free ports of 127.0.0.1."""
    ports = free_ports()
    members = {
        f"n{number}": {"grpc": f"127.0.0.1:{next(ports)}", "raft": f"127.0.0.1:{next(ports)}"}
        for number in range(1, nodes + 1)
    }
    content = {"cluster": "sale", "data_dir": "data", "hold_ticks": HOLD_TICKS, "nodes": members}
    path = folder / "cluster.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on now, in random order.

    Not from the ephemeral range, as port 0 would give: while a killed node is down, an outgoing connection could be
    given its port, and the node could not come back. Not from the sale's seed, so that two sales at once differ.
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def kill_all(local: LocalCluster) -> None:
    """End every node. Blocks, so that no second Ctrl-C can cut it short; of a throw-away cluster nothing is kept."""
    for node in local.running():
        with contextlib.suppress(LocalClusterError):
            local.kill(node)


async def _start_to_the_end(local: LocalCluster) -> None:
    """Start all nodes. A thread cannot be cancelled: wait for it, or it would start nodes after they were killed."""
    starting = asyncio.ensure_future(asyncio.to_thread(_start_all, local))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.gather(starting, return_exceptions=True)
        raise


def _start_all(local: LocalCluster) -> None:
    local.format()
    for node in local.nodes:
        local.start(node)


def _leader(statuses: Sequence[NodeStatus], after_term: int) -> Leader | None:
    leaders = [
        Leader(status.node, status.term)
        for status in statuses
        if status.role == "leader" and status.has_quorum and status.term is not None and status.term > after_term
    ]
    return max(leaders, key=lambda leader: leader.term, default=None)
