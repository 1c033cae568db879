"""Bytes that are no message of the method's: an answer that says so, and no noise in the log."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from lastunit.v1 import catchup_pb2, cluster_pb2, inventory_pb2

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
