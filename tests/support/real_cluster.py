"""Real nodes for a test: own processes, own ports, own directory; gone when the test ends."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import yaml

from lastunit_client import AsyncInventoryClient, FencingToken, Reservation, ReservationState, StateHash
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.processes import ProcessError, ProcessState
from lastunit_node.config import load_cluster
from lastunit_node.datadir import DataDirectory

SMALL_MARGINS = {"PYTHONPATH": str(Path(__file__).parent / "small_margins")}  # environment of a node
BUSY_COLLECTOR = {"PYTHONPATH": str(Path(__file__).parent / "busy_collector")}
ENDLESS_COPIES = {"PYTHONPATH": str(Path(__file__).parent / "endless_copies")}
CLUSTER_ID = "0b0e9ad2-9d0d-4c5c-9d7e-5d6f3c1a7e55"  # of directories that a test formats itself
_folders = itertools.count(1)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def write_config(folder: Path, nodes: int = 3, **parameters: int | str) -> Path:
    """A cluster file on free ports; its data lies beside it."""
    ports = iter(free_ports(2 * nodes))
    members = {
        f"n{number}": {"grpc": f"127.0.0.1:{next(ports)}", "raft": f"127.0.0.1:{next(ports)}"}
        for number in range(1, nodes + 1)
    }
    path = folder / "cluster.yml"
    values = {"cluster": "test", "data_dir": "data", "nodes": members, "tick_ms": 20} | parameters
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


@contextmanager
def local_cluster(folder: Path, nodes: int = 3, **parameters: int | str) -> Iterator[LocalCluster]:
    """A serving cluster; killed in the end, and its logs shown when the test failed."""
    own_folder = folder / f"cluster-{next(_folders)}"
    own_folder.mkdir()
    cluster = LocalCluster(load_cluster(write_config(own_folder, nodes, **parameters)))
    cluster.up()
    try:
        yield cluster
    except BaseException:
        for node in cluster.nodes:
            print(f"--- {node}\n{cluster.log_tail(node, 30)}")
        raise
    finally:
        kill_all(cluster)


def kill_all(cluster: LocalCluster) -> None:
    """kill -9 of every node that runs or is paused. One may end by itself meanwhile."""
    for node in cluster.nodes:
        with suppress(ProcessError):
            cluster.kill(node)
    assert not cluster.running()


def client(cluster: LocalCluster, first: int = 0, timeout: float = 10.0) -> AsyncInventoryClient:
    """A client that tries the nodes in their order, from the `first`."""
    endpoints = cluster.config.endpoints()
    first %= len(endpoints)
    return AsyncInventoryClient(endpoints[first:] + endpoints[:first], timeout=timeout)


def only(cluster: LocalCluster, node: str, timeout: float = 10.0) -> AsyncInventoryClient:
    """A client that knows one node only."""
    return AsyncInventoryClient([str(cluster.config.node(node).grpc)], timeout=timeout)


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait for a condition on the outside world, by looking again; fails after so many seconds."""
    async with asyncio.timeout(seconds) as limit:
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)
    assert not limit.expired(), what


def is_down(cluster: LocalCluster, node: str) -> bool:
    """Whether a node's process has ended."""
    return cluster.state(node) is ProcessState.DOWN


async def leader_of(cluster: LocalCluster, excluding: str = "") -> str:
    """The node that leads, once one other than `excluding` does."""
    found: list[str] = []

    def look() -> bool:
        leader = cluster.leader()
        found[:] = [leader] if leader not in (None, excluding) else []
        return bool(found)

    await eventually(look, "no node leads")
    return found[0]


async def reservations_on(cluster: LocalCluster, node: str) -> dict[str, Reservation]:
    """Every reservation, read from this very node after everything that was acknowledged before."""
    async with only(cluster, node) as reader:
        return {found.reservation_id: found async for found in reader.list_reservations(page_size=1000)}


async def state_hashes(cluster: LocalCluster) -> list[StateHash]:
    """The hashes of all nodes at one index: all that was answered before this call is in them."""
    statuses = {}
    for node in cluster.nodes:
        async with only(cluster, node) as reader:
            statuses[node] = await reader.status(reader_endpoint(cluster, node))
    index = max(status.commit_index for status in statuses.values())
    hashes = []
    for node in cluster.nodes:
        async with only(cluster, node) as reader:
            status = await reader.status(reader_endpoint(cluster, node), hash_at_index=index, timeout=10.0)
            hashes.append(status.state_hash)
    return hashes


def reader_endpoint(cluster: LocalCluster, node: str) -> str:
    """The address of a node's gRPC port."""
    return str(cluster.config.node(node).grpc)


async def assert_nodes_agree(cluster: LocalCluster) -> None:
    """Every node has the same chain and the same digest at one index."""
    hashes = await state_hashes(cluster)
    assert len(set(hashes)) == 1, hashes


def sold_units(reservations: dict[str, Reservation]) -> dict[tuple[str, int], str]:
    """Who has which unit; fails when two reservations have the same one."""
    owners: dict[tuple[str, int], str] = {}
    for reservation in reservations.values():
        if reservation.state not in (ReservationState.CONFIRMED, ReservationState.HELD):
            continue
        for line in reservation.units:
            for number in line.numbers():
                assert (line.sku, number) not in owners, f"{line.sku} #{number} is in two orders"
                owners[line.sku, number] = reservation.reservation_id
    return owners


def first_index(cluster: LocalCluster, node: str) -> int:
    """Where the journal of a node that is down starts."""
    directory = DataDirectory(cluster.config.node_dir(node), cluster.config.cluster, cluster.nodes, node)
    try:
        with closing(directory.open_journal(read_only=True)) as journal:
            return journal.first_index
    finally:
        directory.close()


def assert_tokens_unique(tokens: list[FencingToken]) -> None:
    """No token was given twice."""
    assert len(set(tokens)) == len(tokens)
