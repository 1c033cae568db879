"""A node that is too far behind for the leader's log fetches a copy of its state, and follows from there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import yaml
from chaos.cluster import MOVED_CLOCK
from cluster.conftest import MakeCluster
from support.real_cluster import (
    ENDLESS_COPIES,
    SMALL_MARGINS,
    assert_nodes_agree,
    client,
    eventually,
    first_index,
    leader_of,
    reader_endpoint,
)
from support.tampering_proxy import TamperingProxy, tampering_proxy

from lastunit.v1 import catchup_pb2 as pb
from lastunit.v1.catchup_pb2_grpc import CatchUpServiceStub
from lastunit_node.cli import processes
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster


@asynccontextmanager
async def behind_proxies(
    cluster: LocalCluster, node: str
) -> AsyncIterator[tuple[LocalCluster, dict[str, TamperingProxy]]]:
    """The same cluster as `node` sees it when it reaches its peers' gRPC ports through proxies."""
    values = yaml.safe_load(cluster.config.path.read_text(encoding="utf-8"))
    proxies = {}
    async with AsyncExitStack() as stack:
        for peer in set(cluster.nodes) - {node}:
            proxies[peer], port = await stack.enter_async_context(tampering_proxy(*cluster.config.node(peer).grpc))
            values["nodes"][peer]["grpc"] = f"127.0.0.1:{port}"
        path = cluster.config.path.with_name("proxies.yml")
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        yield LocalCluster(load_cluster(path)), proxies


def flip_in_a_row(data: bytes) -> bytes:
    """One bit of the id of an order."""
    position = data.find(b"meanwhile-15")
    return data if position < 0 else data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


class CutAfter:
    """Ends a connection when so many bytes have passed."""

    def __init__(self, size: int) -> None:
        self._left = size

    def __call__(self, data: bytes) -> bytes | None:
        self._left -= len(data)
        return data if self._left > 0 else None


async def place_orders(cluster: LocalCluster, prefix: str, count: int) -> None:
    """One entry after the other."""
    async with client(cluster) as buyer:
        for number in range(count):
            assert (await buyer.place_order({"vase": 1}, reservation_id=f"{prefix}-{number}")).accepted


async def leave_behind(cluster: LocalCluster) -> str:
    """The name of a node that was killed, and needs a copy of the state when it starts."""
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10_000}, receipt_id="delivery")
    leader = await leader_of(cluster)
    behind = next(node for node in cluster.nodes if node != leader)
    await place_orders(cluster, "before", 10)
    await asyncio.to_thread(cluster.kill, behind)
    await place_orders(cluster, "meanwhile", 200)
    return behind


async def test_a_node_too_far_behind_comes_back_through_a_copy(forgetful: LocalCluster) -> None:
    cluster = forgetful
    behind = await leave_behind(cluster)
    pid = await asyncio.to_thread(cluster.start, behind, SMALL_MARGINS)
    await asyncio.to_thread(cluster.wait_serving, 20.0)
    log = cluster.log_tail(behind, 100)
    assert "too far behind for the leader's log" in log
    assert "a copy of the state arrived" in log
    assert cluster.running()[behind] == pid, "it started again from the copy under the same PID"
    await place_orders(cluster, "after", 10)
    await assert_nodes_agree(cluster)
    files = {path.name for path in cluster.config.node_dir(behind).iterdir()}
    assert not any(name.startswith(("state.db", "copy-")) for name in files), files
    await asyncio.to_thread(cluster.down)
    assert all(first_index(cluster, node) > 100 for node in cluster.nodes), "every journal was trimmed"


async def test_a_node_that_is_told_to_stop_while_it_installs_a_copy_ends(forgetful: LocalCluster) -> None:
    """It went on: the signal was for the program that the copy made an end of."""
    cluster = forgetful
    behind = await leave_behind(cluster)
    await asyncio.to_thread(cluster.start, behind, SMALL_MARGINS)
    process = processes._children[cluster.running()[behind]]
    await eventually(lambda: "a copy of the state arrived" in cluster.log_tail(behind, 100), "a copy arrives")
    process.terminate()
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert "is installed" in cluster.log_tail(behind, 1)
    await asyncio.to_thread(cluster.start, behind, SMALL_MARGINS)
    await asyncio.to_thread(cluster.wait_serving, 20.0)
    assert "fetching a copy" not in cluster.log_tail(behind, 100), "it began with the one it had"
    await assert_nodes_agree(cluster)


async def test_a_wrong_wall_clock_does_not_keep_a_node_from_its_copy(forgetful: LocalCluster, tmp_path: Path) -> None:
    """The copy's time limit was one of gRPC's, which reckons by that clock: a node an hour late never got a copy."""
    cluster = forgetful
    behind = await leave_behind(cluster)
    clock = tmp_path / "clock"
    clock.write_text("-3600")
    environment = {"PYTHONPATH": str(MOVED_CLOCK), "LASTUNIT_CHAOS_CLOCK": str(clock)}
    await asyncio.to_thread(cluster.start, behind, environment)
    await asyncio.to_thread(cluster.wait_serving, 20.0)
    assert "a copy of the state arrived" in cluster.log_tail(behind, 100)
    await assert_nodes_agree(cluster)


async def test_a_damaged_and_a_broken_stream_are_refused_and_fetched_again(forgetful: LocalCluster) -> None:
    """The first copy has a flipped bit, the second one ends half way, the third one is whole."""
    cluster = forgetful
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10_000}, receipt_id="delivery")
    leader = await leader_of(cluster)
    behind, other = [node for node in cluster.nodes if node != leader]
    await asyncio.to_thread(cluster.kill, behind)
    await place_orders(cluster, "meanwhile", 200)
    async with behind_proxies(cluster, behind) as (through_proxies, proxies):
        proxies[leader].harm_next(flip_in_a_row)
        proxies[other].harm_next(CutAfter(30_000))
        await asyncio.to_thread(through_proxies.start, behind, SMALL_MARGINS)
        for number in range(1_000):
            await place_orders(cluster, f"during-{number}", 1)
            if proxies[leader].harmed and proxies[other].harmed:
                break
        await eventually(lambda: "is installed" in cluster.log_tail(behind, 200), "a whole copy is installed")
        await asyncio.to_thread(cluster.wait_serving, 20.0)
        assert [proxies[leader].harmed, proxies[other].harmed] == [1, 1]
        await place_orders(cluster, "after", 10)
        await assert_nodes_agree(cluster)
    warnings = [line for line in cluster.log_tail(behind, 200).splitlines() if "no copy of the state was" in line]
    assert len(warnings) == 2, cluster.log_tail(behind, 200)
    assert all("keeps its old state and fetches another" in line for line in warnings)
    assert f"source={leader}" in warnings[0]
    assert "its bytes were damaged on the way" in warnings[0]
    assert f"source={other}" in warnings[1]
    assert "UNAVAILABLE" in warnings[1]
    assert cluster.running().keys() == set(cluster.nodes), "nobody stopped"


async def test_a_node_that_makes_a_copy_ends_rightly_all_the_same(make_cluster: MakeCluster) -> None:
    """Its thread cannot be stopped."""
    cluster = await asyncio.to_thread(make_cluster)
    await asyncio.to_thread(cluster.kill, "n1")
    await asyncio.to_thread(cluster.start, "n1", ENDLESS_COPIES)
    await asyncio.to_thread(cluster.wait_serving)
    identity = json.loads((cluster.config.node_dir("n1") / "identity.json").read_text())
    async with grpc.aio.insecure_channel(reader_endpoint(cluster, "n1")) as channel:
        copying = CatchUpServiceStub(channel).CopyState(pb.CopyStateRequest(cluster_id=identity["cluster_id"]))
        assert await copying.read() == pb.CopyStateResponse(), "it is being made"
        assert await asyncio.to_thread(cluster.stop, "n1")
    assert cluster._processes["n1"].exit_status == 0
    assert "event=stopped" in cluster.log_tail("n1", 1)
