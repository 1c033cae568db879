"""The Execute stream: many messages under way at once, each answered when its last command is.

A malformed command, a timeout or a full queue spoils only its positions. A message over the limits (4,096 commands,
1 MiB) ends the stream with INVALID_ARGUMENT once the messages before it are answered: an error for each of its
positions could be a hundred times its size. So do bytes that are no message. At most MAX_MESSAGES are under way per
stream; then it is read no further until a response has been taken, which is HTTP/2's backpressure. While callers leave
more than MAX_UNSENT_BYTES of responses to this node's memory, one message is under way per stream: so those who read
their answers go on. A node has MAX_STREAMS streams at most. (grpc.max_concurrent_streams does not help: with a limit of
1,024, gRPC's server cut off hundreds of the 10,000 unary calls that 1,000 callers made on one channel.)

A command whose timeout passed is not proposed (again), but its error travels in the message's response, which waits
for the longest timeout; one that was applied in the meantime is answered after all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

import grpc

from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.errors import CallError, idle_stream, stopping, too_many_streams
from lastunit_node.frontend.message import ExecuteMessage
from lastunit_node.frontend.work import Answers

MAX_MESSAGES: Final = 16  # under way per stream
MAX_STREAMS: Final = 1_000  # on a node; each may leave it a response or two more than:
MAX_UNSENT_BYTES: Final = 32 << 20
IDLE_SECONDS: Final = 1.0  # since its last message: then a stream makes way for a new one

Write = Callable[[bytes], Awaitable[None]]


class Streams:
    """What the streams of a node share: their number, and how many bytes of responses gRPC has not taken yet."""

    def __init__(self) -> None:
        self.unsent_bytes = 0
        self._last_read: dict[ExecuteStream, float] = {}  # when each was (loop time), the longest ago first

    def __len__(self) -> int:
        return len(self._last_read)

    def add(self, stream: "ExecuteStream", now: float) -> None:
        """Let a stream in, for an idle one if need be; CallError where none is."""
        if len(self._last_read) >= MAX_STREAMS:
            idle = self._idle(now)
            if idle is None:
                raise too_many_streams(MAX_STREAMS)
            self.remove(idle)
            idle.make_way()
        self._last_read[stream] = now

    def read(self, stream: "ExecuteStream", now: float) -> None:
        """Note that a message of it was read."""
        if self._last_read.pop(stream, None) is not None:
            self._last_read[stream] = now

    def remove(self, stream: "ExecuteStream") -> None:
        """It ended, or is about to."""
        self._last_read.pop(stream, None)

    def _idle(self, now: float) -> "ExecuteStream | None":
        """The one that has been idle longest."""
        for stream, last_read in self._last_read.items():
            if last_read > now - IDLE_SECONDS:
                break
            if not stream.under_way:
                return stream
        return None


class ExecuteStream:
    """One stream. `closing` is set when the node drains: then it is read no further."""

    def __init__(self, batcher: Batcher, closing: asyncio.Event, streams: Streams, write: Write) -> None:
        self._batcher = batcher
        self._closing = closing
        self._streams = streams
        self._write = write
        self._writing = asyncio.Lock()  # gRPC takes one message at a time
        self.under_way = 0  # messages
        self._ended = asyncio.Event()  # one of them did
        self._makes_way: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self, requests: AsyncIterator[bytes]) -> None:
        """Answer every message; then CallError for one that is refused as a whole, or because it has to end.

        The CallError is definite about all that came after the last answered message: it was not proposed. CallError at
        once where there are too many streams.
        """
        self._streams.add(self, asyncio.get_running_loop().time())
        try:
            async with asyncio.TaskGroup() as answers:
                refusal = await self._read_while_it_may(requests, answers)
        finally:
            self._streams.remove(self)
        if refusal:
            raise refusal

    def make_way(self) -> None:
        """End, though neither the caller nor the node is done."""
        self._makes_way.set_result(None)

    async def _read_while_it_may(self, requests: AsyncIterator[bytes], answers: asyncio.TaskGroup) -> CallError | None:
        """Read to the end, or until the node drains, or this stream makes way; why it ended early."""
        reading = asyncio.create_task(self._read(requests, answers))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait((reading, closing, self._makes_way), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            return stopping(definite=True) if closing.done() else idle_stream()
        finally:
            reading.cancel()
            closing.cancel()

    async def _read(self, requests: AsyncIterator[bytes], answers: asyncio.TaskGroup) -> CallError | None:
        """Start a task per message while there is room; the error of a message that is refused as a whole."""
        loop = asyncio.get_running_loop()
        async for request in requests:
            now = loop.time()
            self._streams.read(self, now)
            try:
                answers.create_task(self._answer(ExecuteMessage(request, now)))
            except CallError as error:
                return error
            self.under_way += 1
            await self._room()
        return None

    async def _room(self) -> None:
        """Wait until another message may be under way."""
        while self.under_way >= (MAX_MESSAGES if self._streams.unsent_bytes <= MAX_UNSENT_BYTES else 1):
            self._ended.clear()
            await self._ended.wait()

    async def _answer(self, message: ExecuteMessage) -> None:
        try:
            await self._send(message.response(await self._answers(message)))
        finally:
            self.under_way -= 1
            self._ended.set()

    async def _send(self, response: bytes) -> None:
        self._streams.unsent_bytes += len(response)
        try:
            async with self._writing:
                with suppress(grpc.aio.BaseError):  # the caller is gone, and gRPC is about to cancel this stream
                    await self._write(response)
        finally:
            self._streams.unsent_bytes -= len(response)

    async def _answers(self, message: ExecuteMessage) -> Answers:
        if not message.commands:
            return Answers(0, ())
        try:
            return await self._batcher.run(message.commands, message.deadlines, message.size)
        except CallError as error:  # the queue was full
            return Answers(0, [error] * len(message.commands))
