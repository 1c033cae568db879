"""A call from its first attempt to its answer or error: which node, how long, how often, and what all of it came to."""
# ruff: noqa: ASYNC109 - a call's deadline spans attempts on several nodes; asyncio.timeout() would hide what is known

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Final, TypeVar

from grpc import StatusCode

from lastunit_client import answers
from lastunit_client.arguments import text
from lastunit_client.closing import close_all
from lastunit_client.errors import ClientClosedError, DeadlineError, InvalidRequestError
from lastunit_client.failures import Failure
from lastunit_client.limits import MAX_COMMAND_BYTES, MAX_SECONDS
from lastunit_client.models import CommandResult
from lastunit_client.node import ClusterMethod, InventoryMethod, Node
from lastunit_client.nodes import NodePool
from lastunit_client.retry import Attempts

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
AnswerT = TypeVar("AnswerT")

_DOUBT_SECONDS: Final = 0.5  # a node that was silent for so long is tried last


@dataclass(frozen=True, slots=True)
class _Failed:
    """An attempt without an answer: on which node, since when (loop time), why."""

    endpoint: str
    started: float
    failure: Failure


class Calls:
    """All calls of one client. See AsyncInventoryClient for the parameters and the promises."""

    def __init__(self, endpoints: Sequence[str], *, timeout: float, attempt_timeout: float) -> None:
        if isinstance(endpoints, str) or not endpoints:
            raise ValueError('endpoints: expected a sequence of "host:port", one for each node')
        if not 0 < attempt_timeout < inf:
            raise ValueError(f"attempt_timeout: expected a number of seconds above 0, got {attempt_timeout}")
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._pool = NodePool(endpoints, _now)
        self._nodes: dict[str, Node] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def command(self, request_id: str, command: bytes, timeout: float | None) -> CommandResult:
        """Get the encoded command applied once and its answer; timeout in seconds, None for the client's.

        The first attempt is made in here: nearly every call needs no more, and a layer costs as much as a message.
        """
        if len(command) > MAX_COMMAND_BYTES:
            raise InvalidRequestError("", f"a command may have {MAX_COMMAND_BYTES} bytes", request_id=request_id)
        started = self._running_loop().time()
        deadline = self._deadline(timeout, started, request_id)
        self._check_open(True, request_id)
        endpoint = self._pool.pick()
        answer = await self._node(endpoint).execute(command, started, deadline)
        if isinstance(answer, Failure):
            failed = _Failed(endpoint, started, answer)
            answer = await self._retried(
                lambda node, now: node.execute(command, now, deadline), deadline, request_id, failed
            )
        return answers.command_result(request_id, answer)

    async def query(
        self, method: InventoryMethod[RequestT, ResponseT], request: RequestT, timeout: float | None
    ) -> ResponseT:
        """Read on any node; timeout in seconds, None for the client's."""
        deadline = self._deadline(timeout, self._running_loop().time())
        return await self._retried(lambda node, now: node.query(method, request, now, deadline), deadline, None, None)

    async def ask(
        self,
        endpoint: Any,
        method: ClusterMethod[RequestT, ResponseT],
        request: RequestT,
        timeout: float | None,
        *,
        is_query: bool,
    ) -> ResponseT:
        """Ask that node, once; timeout in seconds, None for the client's. What is no query may have an effect, late."""
        self._check_open(definite=True)
        attempts = _attempts(self._deadline(timeout, self._running_loop().time()))
        answer = await self._node(text("endpoint", endpoint)).ask(method, request, attempts.deadline, is_query=is_query)
        if isinstance(answer, Failure):
            attempts.wait_after(answer, _now())
            self._check_open(answer.definite)
            raise attempts.error(answer, endpoint, None)
        return answer

    async def close(self) -> None:
        """Close every connection; calls under way end with ClientClosedError. May be called again."""
        if self._loop is not None and not self._loop.is_closed():
            self._running_loop()
        self._closed = True
        await close_all([node.close for node in self._nodes.values()])
        self._nodes.clear()

    async def _retried(
        self,
        attempt: Callable[[Node, float], Awaitable[AnswerT | Failure]],
        deadline: float,
        request_id: str | None,
        failed: _Failed | None,
    ) -> AnswerT:
        """Attempt on one node after the other, until there is an answer or the call is over. failed: the first one."""
        attempts = _attempts(deadline)
        while True:
            if failed is not None:
                await self._pause(attempts, failed, request_id)
            self._check_open(attempts.definite, request_id)
            started = _now()
            endpoint = self._pool.pick(None if failed is None else failed.endpoint)
            answer = await attempt(self._node(endpoint), started)
            if not isinstance(answer, Failure):
                return answer
            failed = _Failed(endpoint, started, answer)

    async def _pause(self, attempts: Attempts, failed: _Failed, request_id: str | None) -> None:
        """Wait until it is time for another attempt, or raise if there is to be none."""
        now = _now()
        self._judge(failed, now)
        wait = attempts.wait_after(failed.failure, now)
        self._check_open(attempts.definite, request_id)
        if wait is None:
            raise attempts.error(failed.failure, failed.endpoint, request_id)
        await asyncio.sleep(wait)

    def _deadline(self, timeout: float | None, now: float, request_id: str | None = None) -> float:
        """When the call ends. DeadlineError when that is over already, or never (infinity, NaN): nothing is sent."""
        seconds = self._timeout if timeout is None else timeout
        if 0 < seconds < inf:
            return now + min(seconds, MAX_SECONDS)
        problem = "leaves no time" if seconds <= 0 else "is no time"
        raise DeadlineError(f"nothing was sent: a timeout of {seconds} s {problem}", request_id=request_id)

    def _judge(self, failed: _Failed, now: float) -> None:
        """Put a failing node at the back; but being too slow for a very short deadline, or a few, is no failing."""
        node = self._nodes.get(failed.endpoint)
        silent_since = failed.started if node is None else min(failed.started, node.silent_since)
        hasty = failed.failure.code is StatusCode.DEADLINE_EXCEEDED and now - silent_since < _DOUBT_SECONDS
        if failed.failure.node_failed and not hasty:
            self._pool.failed(failed.endpoint)

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
        node = self._nodes.get(endpoint)
        if node is None:
            node = self._nodes[endpoint] = Node(endpoint, self._attempt_timeout, partial(self._pool.failed, endpoint))
        return node


def _attempts(deadline: float) -> Attempts:
    return Attempts(deadline, random.random)


def _now() -> float:
    """Monotonic seconds, of the clock that the loop's timers use."""
    return asyncio.get_running_loop().time()
