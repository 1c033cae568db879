"""Start, health, reflection, drain, stop."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from grpc_status import rpc_status

from lastunit.v1 import cluster_pb2
from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend import CannotListenError, FrontEnd
from lastunit_node.frontend.frontend import SERVICES

from .errors_of_calls import error_of, seen
from .fakes import FILES, STATUS, FakeReplica, until

if TYPE_CHECKING:
    from lastunit.v1.cluster_pb2_grpc import ClusterServiceAsyncStub
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
RELEASE = pb.ReleaseRequest(reservation_id="a")


def front_end_on(address: str, replica: FakeReplica) -> FrontEnd:
    return FrontEnd(
        cluster_name="vases",
        node_name="n2",
        version="0",
        address=address,
        replica=replica,
        nodes=("n1", "n2"),
        files=FILES,
    )


async def first_unexplained(inventory: "InventoryServiceAsyncStub") -> grpc.StatusCode:
    """Call without a pause; the first error's code that has no details."""
    while True:
        try:
            await inventory.Release(RELEASE)
        except grpc.aio.AioRpcError as error:
            if rpc_status.from_call(cast("grpc.Call", error)) is None:
                return error.code()


@pytest.fixture
async def health(channel: grpc.aio.Channel) -> AsyncIterator[Any]:
    """The stream of states that the health service tells of the node as a whole."""
    watch = HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    yield watch
    watch.cancel()


async def test_a_taken_port_is_an_error_that_says_so(front_end: FrontEnd, replica: FakeReplica) -> None:
    address = f"127.0.0.1:{front_end.port}"
    with pytest.raises(CannotListenError, match=f"cannot listen on {address}"):
        await front_end_on(address, replica).start()


async def test_health_follows_the_quorum(health: Any, replica: FakeReplica) -> None:
    assert (await health.read()).status == SERVING
    await replica.set(replace(STATUS, has_quorum=False))
    assert (await health.read()).status == NOT_SERVING
    await replica.set(STATUS)
    assert (await health.read()).status == SERVING


async def test_a_cluster_without_parameters_is_not_served(health: Any, replica: FakeReplica) -> None:
    assert (await health.read()).status == SERVING
    await replica.set(replace(STATUS, parameters=None))
    assert (await health.read()).status == NOT_SERVING


async def test_a_node_without_a_quorum_starts_not_serving(replica: FakeReplica) -> None:
    await replica.set(replace(STATUS, has_quorum=False))
    front_end = front_end_on("127.0.0.1:0", replica)
    await front_end.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{front_end.port}") as channel:
        response = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert response.status == NOT_SERVING
    await front_end.refuse(0)
    await front_end.stop(0)


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_every_service_has_its_health(channel: grpc.aio.Channel, service: str) -> None:
    response = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert response.status == SERVING


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    call = ServerReflectionStub(channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    response = await call.read()
    names = {service.name for service in response.list_services_response.service}
    assert names == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    call.cancel()


async def test_a_method_that_is_not_there_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call: Any = channel.unary_unary(f"/{SERVICES[0]}/PlaceOrders")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(b"")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


class TestDrain:
    async def test_new_calls_are_refused_and_those_under_way_end(
        self, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub", replica: FakeReplica, health: Any
    ) -> None:
        assert (await health.read()).status == SERVING
        replica.hold()
        under_way = inventory.Release(RELEASE)
        await replica.proposed(1)
        drain = asyncio.create_task(front_end.drain(10))
        assert (await health.read()).status == NOT_SERVING
        error = await error_of(inventory.Release(RELEASE))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "STOPPING")
        assert error.definite == "true"
        assert not drain.done()
        replica.let_go()
        assert (await under_way).result.outcome == pb.OUTCOME_RELEASED
        assert await drain

    async def test_it_is_bounded_and_stop_answers_the_rest(
        self, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub", replica: FakeReplica
    ) -> None:
        replica.hold()
        under_way = asyncio.create_task(error_of(inventory.Release(RELEASE)))
        await replica.proposed(1)
        assert not await front_end.drain(0.01)
        await front_end.refuse(0)
        await front_end.stop(0)
        error = await under_way
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "STOPPING")
        assert error.definite == "false"

    async def test_whoever_calls_again_and_again_is_told_why_until_the_port_is_closed(
        self, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub"
    ) -> None:
        callers = asyncio.gather(*[first_unexplained(inventory) for _ in range(50)])
        await inventory.Release(RELEASE)
        await front_end.drain(10)
        await front_end.refuse(0.5)
        await front_end.stop(0.5)
        assert set(await callers) == {grpc.StatusCode.UNAVAILABLE}  # gRPC's own: the connection is refused

    @pytest.mark.parametrize("consistency", [pb.READ_CONSISTENCY_STALE, pb.READ_CONSISTENCY_LINEARIZABLE])
    async def test_nothing_waits_for_an_index_that_may_never_come(
        self,
        front_end: FrontEnd,
        inventory: "InventoryServiceAsyncStub",
        cluster: "ClusterServiceAsyncStub",
        replica: FakeReplica,
        consistency: pb.ReadConsistency.ValueType,
    ) -> None:
        options = pb.ReadOptions(consistency=consistency, min_index=1_000)
        read = asyncio.create_task(error_of(inventory.GetStock(pb.GetStockRequest(sku="a", options=options))))
        status = asyncio.create_task(error_of(cluster.GetStatus(cluster_pb2.GetStatusRequest(hash_at_index=1_001))))
        await until(lambda: set(replica.waited_for) == {1_000, 1_001})
        assert await front_end.drain(10)
        for error in (await read, await status):
            assert (error.reason, error.definite) == ("STOPPING", "true")

    async def test_a_stream_answers_what_it_has_read_and_ends(
        self, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub", replica: FakeReplica
    ) -> None:
        replica.hold()
        stream: Any = inventory.Execute()
        await stream.write(pb.ExecuteRequest(sequence=1, commands=[pb.Command(release=RELEASE)]))
        await replica.proposed(1)
        drain = asyncio.create_task(front_end.drain(10))
        await asyncio.sleep(0)
        replica.let_go()
        assert (await stream.read()).results[0].result.outcome == pb.OUTCOME_RELEASED
        error = await error_of(stream.read())
        assert (error.code, error.reason, error.definite) == (
            grpc.StatusCode.UNAVAILABLE.value[0],
            "STOPPING",
            "true",
        )
        assert await drain

    async def test_an_idle_stream_ends_at_once(
        self, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub"
    ) -> None:
        stream: Any = inventory.Execute()
        await stream.write(pb.ExecuteRequest(sequence=1))
        await stream.read()
        assert await front_end.drain(10)
        assert (await error_of(stream.read())).reason == "STOPPING"

    async def test_stop_answers_a_stream_position_by_position(
        self, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub", replica: FakeReplica
    ) -> None:
        replica.hold()
        stream: Any = inventory.Execute()
        await stream.write(pb.ExecuteRequest(sequence=1, commands=[pb.Command(release=RELEASE), pb.Command()]))
        await replica.proposed(1)
        refusing = asyncio.create_task(front_end.refuse(0))
        first, second = (await stream.read()).results
        assert (seen(first.error).reason, seen(first.error).definite) == ("STOPPING", "false")
        assert seen(second.error).reason == "INVALID_ARGUMENT"
        await refusing

    async def test_the_status_is_told_while_draining(
        self, front_end: FrontEnd, cluster: "ClusterServiceAsyncStub"
    ) -> None:
        assert await front_end.drain(1)
        assert (await cluster.GetStatus(cluster_pb2.GetStatusRequest())).node == "n1"


async def test_leadership_can_be_handed_over_from_within(front_end: FrontEnd, replica: FakeReplica) -> None:
    assert await front_end.transfer_leadership() == "n2"
    assert replica.transfers == [None]
