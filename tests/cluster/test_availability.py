"""As long as a majority is up, every call ends; without one, it says so and whether it may have been applied."""

import asyncio
import time
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.real_cluster import assert_nodes_agree, client, eventually, leader_of, only, reader_endpoint

from lastunit_client import LastUnitError, Outcome, ReservationState
from lastunit_node.cli.local_cluster import LocalCluster

MakeCluster = Callable[..., LocalCluster]


def health(cluster: LocalCluster, node: str) -> int:
    """What the node's health service says."""
    with grpc.insecure_channel(reader_endpoint(cluster, node)) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2.0)
        return int(answer.status)


async def test_without_a_quorum_calls_end_with_an_error_and_nothing_is_lost(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10}, receipt_id="delivery")
    leader = await leader_of(cluster)
    lost = [node for node in cluster.nodes if node != leader]
    for node in lost:
        await asyncio.to_thread(cluster.kill, node)
    async with only(cluster, leader, timeout=1.0) as buyer:
        with pytest.raises(LastUnitError, match="may have been applied") as caught:
            await buyer.place_order({"vase": 1}, reservation_id="in-doubt")
        assert not caught.value.definite
        await eventually(lambda: health(cluster, leader) == health_pb2.HealthCheckResponse.NOT_SERVING, "NOT_SERVING")
        with pytest.raises(LastUnitError) as caught:
            await buyer.place_order({"vase": 1}, reservation_id="never-proposed")
        assert (await buyer.get_stock("vase", stale=True)).received == 10
        with pytest.raises(LastUnitError):
            await buyer.get_stock("vase")
    for node in lost:
        await asyncio.to_thread(cluster.start, node)
    await asyncio.to_thread(cluster.wait_serving)
    async with client(cluster) as buyer:
        again = await buyer.place_order({"vase": 1}, reservation_id="in-doubt")
        assert again.outcome is Outcome.ORDER_PLACED
        assert (await buyer.get_stock("vase")).sold in (1, 2)
    await assert_nodes_agree(cluster)


async def test_a_hold_that_nobody_confirms_comes_back(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as buyer:
        await buyer.receive_stock({"vase": 1})
        hold = await buyer.reserve({"vase": 1}, hold_ticks=5)
        assert hold.token
        expired = False
        deadline = time.monotonic() + 10.0
        while not expired and time.monotonic() < deadline:
            expired = (await buyer.get_reservation(hold.request_id)).state is ReservationState.EXPIRED
        assert expired
        late = await buyer.confirm(hold.request_id, hold.token)
        assert late.outcome is Outcome.EXPIRED
        assert (await buyer.place_order({"vase": 1})).outcome is Outcome.ORDER_PLACED


async def test_a_leader_change_never_shortens_a_hold(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster, 3, tick_ms=50)
    async with client(cluster) as buyer:
        await buyer.receive_stock({"vase": 1})
        begin = time.monotonic()
        hold = await buyer.reserve({"vase": 1}, hold_ticks=60)
        for _ in range(3):
            leader = await leader_of(cluster)
            await asyncio.to_thread(cluster.transfer)
            await leader_of(cluster, excluding=leader)
        state = ReservationState.HELD
        async with asyncio.timeout(30):
            while state is ReservationState.HELD:
                state = (await buyer.get_reservation(hold.request_id)).state
        assert time.monotonic() - begin >= 60 * 0.050
        assert state is ReservationState.EXPIRED


async def test_leadership_moves_to_the_node_that_was_named(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10})
    for node in cluster.nodes:
        if node != await leader_of(cluster):
            assert await asyncio.to_thread(cluster.transfer, node) == node
            assert await leader_of(cluster) == node


async def test_a_read_sees_every_order_acknowledged_before_it_on_any_node(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000})
    readers = [only(cluster, node) for node in cluster.nodes]
    try:
        for number in range(60):
            writer, reader = readers[number % 3], readers[(number + 1) % 3]
            order = await writer.place_order({"vase": 1})
            assert (await reader.get_stock("vase")).sold == number + 1
            mine = await reader.get_reservation(order.request_id, stale=True, min_index=order.applied_index)
            assert mine.state is ReservationState.CONFIRMED
    finally:
        for reader in readers:
            await reader.close()
