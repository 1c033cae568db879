"""Bytes that are no message of the method's, or would be a huge one: an answer says so, and no noise in the log."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from lastunit.v1 import catchup_pb2, cluster_pb2, inventory_pb2
from lastunit_node.frontend import FrontEnd
from lastunit_node.statemachine.limits import MAX_MESSAGE_BYTES

from .errors_of_calls import error_of
from .fakes import FakeReplica

METHODS = [
    method
    for file in (inventory_pb2, cluster_pb2, catchup_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.client_streaming
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05ab"])
async def test_a_request_that_cannot_be_read_is_an_invalid_argument(
    channel: grpc.aio.Channel,
    replica: FakeReplica,
    caplog: pytest.LogCaptureFixture,
    method: MethodDescriptor,
    data: bytes,
) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    call: Any = (channel.unary_stream if method.server_streaming else channel.unary_unary)(path)
    error = await error_of(call(data).read() if method.server_streaming else call(data))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_ARGUMENT")
    assert (error.fields, error.definite) == ([method.input_type.name], "true")
    assert not caplog.records
    assert not replica.proposals


@pytest.mark.parametrize("method", ["PlaceOrder", "Execute"])
async def test_what_is_compressed_is_refused_before_it_is_inflated(front_end: FrontEnd, method: str) -> None:
    options = [("grpc.max_send_message_length", -1)]
    target = f"127.0.0.1:{front_end.port}"
    async with grpc.aio.insecure_channel(target, compression=grpc.Compression.Gzip, options=options) as channel:
        path = f"/{inventory_pb2.DESCRIPTOR.services_by_name['InventoryService'].full_name}/{method}"
        data = bytes(2 * MAX_MESSAGE_BYTES)  # inflated, its size would be what is wrong with it
        begin: Any = (channel.stream_stream if method == "Execute" else channel.unary_unary)(path)
        # A stream sends no message here: one that is refused on its way is an error of the client's own.
        call = begin() if method == "Execute" else begin(data)
        assert (await call.code(), await call.details()) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "Compression algorithm 'gzip' is disabled.",
        )
