"""One Execute stream to one node, from opening to its end: the commands of all callers, message after message.

Whatever gathers while messages are in flight goes into the next one, so batches grow with load and a lone command
leaves at once. The answers of one message are handed out in portions, and the loop runs in between: what the first ones
set off is on its way before the last one is handed out, so that client and node work at the same time and not in turns.

Single use: when the stream ends, for whatever reason, every command without an answer fails (definite if it was never
sent) and the callers try another node.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

import grpc
from grpc import StatusCode

from lastunit_client.batch import SILENT, Answer, Batch, CommandQueue, Pending
from lastunit_client.deadlines import Deadlines, SilenceTimer
from lastunit_client.failures import Failure, of_rpc_error
from lastunit_client.limits import MAX_IN_FLIGHT
from lastunit_client.retry import attempt_end
from lastunit_client.wire import execute_response

_Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"

_METHOD: Final = "/lastunit.v1.InventoryService/Execute"

_GRACE_SECONDS: Final = 0.5  # a message still unanswered so long after its last caller gave up: the node hangs

_CLOSE_SECONDS: Final = 0.2  # that a node has for the end of a stream on which nothing waits

_ENDED: Final = Failure(StatusCode.UNAVAILABLE, "the node ended the stream", definite=False)
_CLOSED: Final = Failure(StatusCode.UNAVAILABLE, "the client was closed", definite=False)


class ExecuteStream:
    """A running stream. attempt_timeout: seconds the node has for an answer. on_failed: called once, unless closed."""

    def __init__(self, channel: grpc.aio.Channel, attempt_timeout: float, on_failed: Callable[[], None]) -> None:
        self.ended = False  # a new stream is needed
        self._closing = False
        self._attempt_timeout = attempt_timeout
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._silent_since = self._loop.time()  # it has said nothing, though something waits for it
        self._queue = CommandQueue()
        self._deadlines = Deadlines(self._waiting, self._ends_at)
        self._in_flight: dict[int, tuple[Batch, SilenceTimer]] = {}  # by sequence
        self._sequences = itertools.count(1)
        self._wake = asyncio.Event()  # something waits, or a message was answered
        self._call: _Call = channel.stream_stream(_METHOD)()  # bytes: messages are encoded and decoded in here
        self._parts = [self._begin(part) for part in (self._write, self._read)]

    def execute(self, command: bytes, now: float, deadline: float) -> "asyncio.Future[Answer]":
        """The answer to an encoded command of a call that ends then (loop time). Not once the stream `ended`."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put(Pending(command, deadline, answer))
        if len(self._queue) == 1:  # with more, it is awake, or will be when a message is answered
            self._wake.set()
            self._owes_since(now)
        self._deadlines.watch(attempt_end(self._silent_since, deadline, self._attempt_timeout))
        return answer

    async def close(self) -> None:
        """End the stream; what is in it fails. May be called again, also on another loop once its own is closed."""
        if self._loop.is_closed():
            return
        self._closing = True
        try:
            if not self.ended and not self._in_flight and not len(self._queue):
                ending = asyncio.create_task(self._end_orderly())
                await asyncio.wait((ending,), timeout=_CLOSE_SECONDS)
                ending.cancel()
        finally:
            self._finish(_CLOSED)
        running = [part for part in self._parts if not part.done()]
        if running:
            await asyncio.wait(running)

    async def _end_orderly(self) -> None:
        """Let the node end the stream: gRPC is still at work for one that is cancelled when its loop may be closed."""
        try:
            await self._call.done_writing()
            await self._call.code()
        except (grpc.aio.BaseError, asyncio.InvalidStateError):
            return  # it has ended otherwise

    def _waiting(self) -> Iterator[Pending]:
        """What has no answer, sent or not; and some that has one by now."""
        for batch, _ in self._in_flight.values():
            yield from batch.pending
        yield from self._queue

    def _owes_since(self, now: float) -> None:
        """Something is about to wait for the node."""
        if not self._in_flight:
            self._silent_since = now

    def _ends_at(self, pending: Pending) -> float:
        """When to give up on it. In the queue it waits for others, as long as these are answered."""
        if pending.sent:
            return pending.ends_at
        return attempt_end(self._silent_since, pending.deadline, self._attempt_timeout)

    def _finish(self, failure: Failure) -> None:
        """End reading and writing, and fail what is left. The first to find out how the stream ends wins."""
        if self.ended:
            return
        self.ended = True
        self._call.cancel()
        if not self._closing:
            self._on_failed()
        self._deadlines.close()
        for batch, watchdog in self._in_flight.values():
            watchdog.cancel()
            batch.fail(failure)
        self._queue.fail(failure)
        for part in self._parts:
            part.cancel()

    def _begin(self, part: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        """Whatever ends one part ends the stream, its cancellation too: nobody may be left waiting for it."""
        task = asyncio.create_task(self._until_end(part))
        task.add_done_callback(self._part_ended)
        return task

    def _part_ended(self, _: "asyncio.Task[None]") -> None:
        self._finish(_ENDED)

    async def _until_end(self, part: Callable[[], Awaitable[None]]) -> None:
        """Say how the part ended, where that is known."""
        try:
            await part()
        except grpc.aio.AioRpcError as error:
            self._finish(_of_broken_stream(error))
        except asyncio.InvalidStateError:  # written to a call that had just ended
            self._finish(_ENDED)
        except Exception as error:  # an answer that makes no sense
            self._finish(Failure(StatusCode.INTERNAL, f"unexpected answer: {error!r}", definite=False))

    async def _write(self) -> None:
        await self._call.wait_for_connection()  # until then, nothing can have been applied
        while True:
            await self._wake.wait()
            self._wake.clear()
            while len(self._queue) and len(self._in_flight) < MAX_IN_FLIGHT:
                await self._send()

    async def _send(self) -> None:
        now = self._loop.time()
        batch = self._queue.take(now)
        if not batch.pending:
            return
        sequence = next(self._sequences)
        request, first_end, last_end = batch.request(sequence, now, self._attempt_timeout)
        self._owes_since(now)
        self._in_flight[sequence] = batch, SilenceTimer(last_end + _GRACE_SECONDS, partial(self._finish, SILENT))
        self._deadlines.watch(first_end)
        await self._call.write(request)

    async def _read(self) -> None:
        async for response in self._call:
            sequence, results = execute_response(response)
            batch, watchdog = self._in_flight[sequence]
            batch.settle(results)
            self._silent_since = self._loop.time()
            watchdog.cancel()
            del self._in_flight[sequence]
            self._wake.set()


def _of_broken_stream(error: grpc.aio.AioRpcError) -> Failure:
    """INTERNAL that no node explains is how gRPC reports a transport that was reset, or broke while written to."""
    failure = of_rpc_error(error)
    transport = failure.code is StatusCode.INTERNAL and not failure.reason
    return replace(failure, code=StatusCode.UNAVAILABLE) if transport else failure
