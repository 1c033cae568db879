"""A front end over a fake replica, and a real channel to it on a loopback port."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest

from lastunit.v1.cluster_pb2_grpc import ClusterServiceStub
from lastunit.v1.inventory_pb2_grpc import InventoryServiceStub
from lastunit_node.frontend import FrontEnd
from lastunit_node.frontend.batcher import Batcher

from .fakes import FILES, FakeReplica

if TYPE_CHECKING:
    from lastunit.v1.cluster_pb2_grpc import ClusterServiceAsyncStub
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub


@pytest.fixture
async def replica() -> FakeReplica:
    return FakeReplica()


@pytest.fixture
async def batcher(replica: FakeReplica) -> AsyncIterator[Batcher]:
    batcher = Batcher(replica)
    batcher.start()
    yield batcher
    await batcher.stop()


@pytest.fixture
async def front_end(replica: FakeReplica) -> AsyncIterator[FrontEnd]:
    front_end = FrontEnd(
        cluster_name="vases",
        node_name="n1",
        version="0.1.0",
        address="127.0.0.1:0",
        replica=replica,
        nodes=("n1", "n2", "n3"),
        files=FILES,
    )
    await front_end.start()
    yield front_end
    await front_end.refuse(0)
    await front_end.stop(0)


@pytest.fixture
async def channel(front_end: FrontEnd) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{front_end.port}") as channel:
        yield channel


@pytest.fixture
def inventory(channel: grpc.aio.Channel) -> "InventoryServiceAsyncStub":
    return InventoryServiceStub(channel)


@pytest.fixture
def cluster(channel: grpc.aio.Channel) -> "ClusterServiceAsyncStub":
    return ClusterServiceStub(channel)
