"""A call from its first attempt to its answer or error: which node, how long, how often, and what all of it came to."""
# ruff: noqa: ASYNC109 - a call's deadline spans attempts on several nodes; asyncio.timeout() would hide what is known

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from grpc import StatusCode

from lastunit.v1 import inventory_pb2
from lastunit_client import answers
from lastunit_client.errors import ClientClosedError, InvalidRequestError
from lastunit_client.failures import AttemptFailed, Failure
from lastunit_client.limits import MAX_COMMAND_BYTES
from lastunit_client.models import CommandResult
from lastunit_client.node import ClusterMethod, InventoryMethod, Node
from lastunit_client.nodes import NodePool
from lastunit_client.retry import Attempts

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
AnswerT = TypeVar("AnswerT")

_DOUBT_SECONDS: Final = 0.5  # a node that was silent for so long is tried last


class Calls:
    """All calls of one client. See AsyncInventoryClient for the parameters and the promises."""

    def __init__(self, endpoints: Sequence[str], *, timeout: float, attempt_timeout: float) -> None:
        if isinstance(endpoints, str) or not endpoints:
            raise ValueError('endpoints: expected a sequence of "host:port", one for each node')
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._pool = NodePool(endpoints, _now)
        self._nodes: dict[str, Node] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def command(self, request_id: str, command: inventory_pb2.Command, timeout: float | None) -> CommandResult:
        """Get the command applied once and its answer; timeout in seconds, None for the client's."""
        if command.ByteSize() > MAX_COMMAND_BYTES:
            raise InvalidRequestError("", f"a command may have {MAX_COMMAND_BYTES} bytes", request_id=request_id)
        result = await self._retried(lambda node, ends_at: node.execute(command, ends_at), timeout, request_id)
        return answers.command_result(request_id, result)

    async def query(
        self, method: InventoryMethod[RequestT, ResponseT], request: RequestT, timeout: float | None
    ) -> ResponseT:
        """Read on any node; timeout in seconds, None for the client's."""
        return await self._retried(lambda node, ends_at: node.query(method, request, ends_at), timeout, None)

    async def ask(
        self, endpoint: str, method: ClusterMethod[RequestT, ResponseT], request: RequestT, timeout: float | None
    ) -> ResponseT:
        """Ask that node, once; timeout in seconds, None for the client's."""
        self._check_open(definite=True)
        attempts = self._attempts(timeout, self._running_loop().time())
        try:
            return await self._node(endpoint).ask(method, request, attempts.deadline)
        except AttemptFailed as failed:
            attempts.wait_after(failed.failure, _now())
            raise attempts.error(failed.failure, endpoint, None) from None

    async def close(self) -> None:
        """Close every connection; calls under way end with ClientClosedError."""
        self._closed = True
        nodes = list(self._nodes.values())
        self._nodes.clear()
        await asyncio.gather(*(node.close() for node in nodes))

    async def _retried(
        self,
        attempt: Callable[[Node, float], Awaitable[AnswerT]],
        timeout: float | None,
        request_id: str | None,
    ) -> AnswerT:
        """Attempt on one node after the other, until there is an answer or the call is over."""
        loop = self._running_loop()
        started = loop.time()
        attempts = self._attempts(timeout, started)
        failed_at: str | None = None
        while True:
            self._check_open(attempts.definite, request_id)
            endpoint = self._pool.pick(failed_at)
            try:
                return await attempt(self._node(endpoint), attempts.next_end(started))
            except AttemptFailed as failed:
                failure = failed.failure
            self._judge(endpoint, failure, started)
            wait = attempts.wait_after(failure, loop.time())
            self._check_open(attempts.definite, request_id)
            if wait is None:
                raise attempts.error(failure, endpoint, request_id)
            await asyncio.sleep(wait)
            failed_at = endpoint
            started = loop.time()

    def _attempts(self, timeout: float | None, now: float) -> Attempts:
        seconds = self._timeout if timeout is None else timeout
        return Attempts(now + seconds, self._attempt_timeout, random.random)

    def _judge(self, endpoint: str, failure: Failure, started: float) -> None:
        """Put a failing node at the back; but being too slow for a very short deadline is no failing."""
        hasty = failure.code is StatusCode.DEADLINE_EXCEEDED and _now() - started < _DOUBT_SECONDS
        if failure.node_failed and not hasty:
            self._pool.failed(endpoint)

    def _check_open(self, definite: bool, request_id: str | None = None) -> None:
        if self._closed:
            raise ClientClosedError("this client is closed", definite=definite, request_id=request_id)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The one event loop of this client: gRPC ties connections to it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise RuntimeError("this client belongs to another event loop; make one client per loop")
            self._loop = loop
        return loop

    def _node(self, endpoint: str) -> Node:
        """The connection to it, made when first needed."""
        if endpoint not in self._nodes:
            self._nodes[endpoint] = Node(endpoint, partial(self._pool.failed, endpoint))
        return self._nodes[endpoint]


def _now() -> float:
    """Monotonic seconds, of the clock that the loop's timers use."""
    return asyncio.get_running_loop().time()
