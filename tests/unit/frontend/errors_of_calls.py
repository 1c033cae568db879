"""What a caller sees of an error: code, ErrorInfo, BadRequest, RetryInfo."""

from collections.abc import Awaitable
from typing import Any, NamedTuple, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status


class Seen(NamedTuple):
    """An error as its caller sees it; retry_seconds 0 where there is no RetryInfo."""

    code: int
    message: str
    reason: str
    domain: str
    definite: str
    fields: list[str]
    problems: list[str]  # what is wrong with each field
    retry_seconds: float


async def error_of(call: Awaitable[Any]) -> Seen:
    """The error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(cast("grpc.Call", raised.value))  # which has the parts that are asked
    assert status is not None
    return seen(status)


def seen(status: status_pb2.Status) -> Seen:
    """The error in a status."""
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        _unpack(detail, info, bad_request, retry)
    fields = [violation.field for violation in bad_request.field_violations]
    seconds = retry.retry_delay.ToTimedelta().total_seconds()
    problems = [violation.description for violation in bad_request.field_violations]
    return Seen(
        status.code, status.message, info.reason, info.domain, info.metadata["definite"], fields, problems, seconds
    )


def _unpack(detail: Any, *kinds: Message) -> None:
    assert any(detail.Unpack(kind) for kind in kinds)
