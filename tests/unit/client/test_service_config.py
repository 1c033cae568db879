"""The service config for users of the plain stubs: every method has a deadline, only queries are retried."""

import json

import grpc
import pytest
from grpc import StatusCode

from lastunit.v1 import cluster_pb2, inventory_pb2
from lastunit.v1.inventory_pb2_grpc import InventoryServiceStub
from lastunit_client.channel import service_config

from .fake_node import FakeNode

QUERIES = {"GetStock", "ListStock", "GetReservation", "ListReservations", "GetStatus"}


def names(*, retried: bool) -> set[str]:
    configs = json.loads(service_config())["methodConfig"]
    return {name["method"] for config in configs if ("retryPolicy" in config) == retried for name in config["name"]}


def test_every_plain_call_has_a_deadline_and_only_queries_are_retried() -> None:
    services = (inventory_pb2.DESCRIPTOR.services_by_name, cluster_pb2.DESCRIPTOR.services_by_name)
    methods = {method.name for found in services for service in found.values() for method in service.methods}
    assert names(retried=True) == QUERIES
    assert names(retried=False) == methods - QUERIES - {"Execute", "ScanState", "TransferLeadership"}


async def test_a_plain_stub_retries_a_query_and_no_command(nodes: list[FakeNode]) -> None:
    options = [("grpc.service_config", service_config())]
    async with grpc.aio.insecure_channel(nodes[0].endpoint, options=options) as channel:
        stub = InventoryServiceStub(channel)
        nodes[0].query_errors.append(StatusCode.UNAVAILABLE)
        await stub.GetStock(inventory_pb2.GetStockRequest(sku="VASE"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PlaceOrder(inventory_pb2.PlaceOrderRequest())
    assert len(nodes[0].queries) == 2
    assert (caught.value.code(), nodes[0].orders) == (StatusCode.UNAVAILABLE, 1)
