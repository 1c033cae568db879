"""One node as the library sees it: a channel, the shared Execute stream on it, and plain calls for queries."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import grpc
from grpc import StatusCode

from lastunit.v1.cluster_pb2_grpc import ClusterServiceStub
from lastunit.v1.inventory_pb2_grpc import InventoryServiceStub
from lastunit_client.batch import Answer
from lastunit_client.channel import open_channel
from lastunit_client.closing import close_all
from lastunit_client.failures import Failure, of_rpc_error
from lastunit_client.retry import attempt_end
from lastunit_client.stream import ExecuteStream

if TYPE_CHECKING:
    from lastunit.v1.cluster_pb2_grpc import ClusterServiceAsyncStub
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

InventoryMethod: TypeAlias = Callable[
    ["InventoryServiceAsyncStub"], grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]
]
ClusterMethod: TypeAlias = Callable[["ClusterServiceAsyncStub"], grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]]


class Node:
    """Connects when first used. on_failed: called when its stream broke. What gives no answer gives a Failure."""

    def __init__(self, endpoint: str, attempt_timeout: float, on_failed: Callable[[], None]) -> None:
        self._channel = open_channel(endpoint)
        self._inventory = InventoryServiceStub(self._channel)
        self._cluster = ClusterServiceStub(self._channel)
        self._attempt_timeout = attempt_timeout
        self._on_failed = on_failed
        self._stream: ExecuteStream | None = None
        self.silent_since = inf  # it has answered no query that was begun since (loop time)

    def execute(self, command: bytes, now: float, deadline: float) -> "asyncio.Future[Answer]":
        """One attempt of an encoded command, of a call until then (loop time), in the stream that all callers share."""
        stream = self._stream
        if stream is None or stream.ended:
            stream = self._stream = ExecuteStream(self._channel, self._attempt_timeout, self._on_failed)
        return stream.execute(command, now, deadline)

    async def query(
        self, method: InventoryMethod[RequestT, ResponseT], request: RequestT, now: float, deadline: float
    ) -> ResponseT | Failure:
        """One attempt of a query, of a call until then (loop time)."""
        answer = await _unary(method(self._inventory), request, attempt_end(now, deadline, self._attempt_timeout))
        is_silent = isinstance(answer, Failure) and answer.is_silence
        self.silent_since = min(self.silent_since, now) if is_silent else inf
        return _harmless(answer)

    async def ask(
        self, method: ClusterMethod[RequestT, ResponseT], request: RequestT, ends_at: float, *, is_query: bool
    ) -> ResponseT | Failure:
        """One attempt of a call about this node, until ends_at (loop time)."""
        answer = await _unary(method(self._cluster), request, ends_at)
        return _harmless(answer) if is_query else answer

    async def close(self) -> None:
        """Close the connection; what is under way fails. May be called again."""
        streams = [] if self._stream is None else [self._stream.close]
        await close_all([*streams, self._channel.close])


async def _unary(
    call: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT, ends_at: float
) -> ResponseT | Failure:
    """A call, with the node's own word on whether its failure is definite."""
    try:
        return await call(request, timeout=ends_at - asyncio.get_running_loop().time())
    except grpc.aio.AioRpcError as error:
        return of_rpc_error(error)
    except asyncio.CancelledError:
        if _cancelled_by_caller():
            raise
        return Failure(StatusCode.CANCELLED, "the channel was closed", definite=False)


def _harmless(answer: ResponseT | Failure) -> ResponseT | Failure:
    """What came of a query: its failure is definite, since it changes nothing."""
    return replace(answer, definite=True) if isinstance(answer, Failure) else answer


def _cancelled_by_caller() -> bool:
    """Whether our own task is being cancelled: grpc.aio raises CancelledError also when the channel is closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
