"""What the Execute streams of a node share: memory for responses, and room for so many of them."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.execute import (
    IDLE_SECONDS,
    MAX_MESSAGES,
    MAX_STREAMS,
    MAX_UNSENT_BYTES,
    ExecuteStream,
    Streams,
)
from lastunit_node.statemachine.limits import MAX_COMMANDS

from .fakes import turns


class SlowReader:
    """A caller who has sent messages of this size, and takes no answer unless a test lets it. `read`: those read."""

    def __init__(self, messages: int, commands: int = 1) -> None:
        self._messages = messages
        self._commands = commands
        self._takes = asyncio.Semaphore(0)
        self.read = 0

    async def requests(self) -> AsyncIterator[bytes]:
        request = pb.ExecuteRequest(commands=[pb.Command()] * self._commands).SerializeToString()
        for _ in range(self._messages):
            await asyncio.sleep(0)  # as gRPC does at least
            self.read += 1
            yield request

    async def write(self, response: bytes) -> None:
        await self._takes.acquire()

    def take(self) -> None:
        self._takes.release()

    def serve(self, batcher: Batcher, streams: Streams) -> asyncio.Task[None]:
        return asyncio.create_task(ExecuteStream(batcher, asyncio.Event(), streams, self.write).serve(self.requests()))


async def test_while_much_is_unsent_a_stream_has_one_message_under_way(batcher: Batcher) -> None:
    streams = Streams()
    caller = SlowReader(3)
    streams.unsent_bytes = much = MAX_UNSENT_BYTES + 1
    stream = caller.serve(batcher, streams)
    for taken in range(3):
        await turns()
        assert caller.read == taken + 1
        assert streams.unsent_bytes > much
        caller.take()
    await stream
    assert streams.unsent_bytes == much


async def test_what_callers_leave_unread_is_bounded(batcher: Batcher) -> None:
    streams = Streams()
    streams.unsent_bytes = others = MAX_UNSENT_BYTES - (4 << 20)
    callers = [SlowReader(MAX_MESSAGES, MAX_COMMANDS) for _ in range(4)]
    serving = [caller.serve(batcher, streams) for caller in callers]
    await turns(100)
    assert MAX_UNSENT_BYTES < streams.unsent_bytes < MAX_UNSENT_BYTES + len(callers) * (2 << 20)
    for stream in serving:
        stream.cancel()
    await asyncio.wait(serving)
    assert (len(streams), streams.unsent_bytes) == (0, others)


def busy(batcher: Batcher, streams: Streams) -> ExecuteStream:
    """A stream that is not served, and has a message under way."""
    stream = ExecuteStream(batcher, asyncio.Event(), streams, SlowReader(0).write)
    stream.under_way = 1
    return stream


class Caller:
    """Has a stream served, and sends a message when a test says so."""

    def __init__(self, batcher: Batcher, streams: Streams) -> None:
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()
        self._responses: asyncio.Queue[bytes] = asyncio.Queue()
        stream = ExecuteStream(batcher, asyncio.Event(), streams, self._responses.put)
        self.served = asyncio.create_task(stream.serve(self._sent()))

    async def call(self) -> None:
        """Send a message and take its answer."""
        self._requests.put_nowait(pb.ExecuteRequest(sequence=1).SerializeToString())
        await self._responses.get()

    async def _sent(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._requests.get()


@pytest.fixture
async def streams(batcher: Batcher) -> Streams:
    """With room for two more; the others are busy."""
    streams = Streams()
    for _ in range(MAX_STREAMS - 2):
        streams.add(busy(batcher, streams), 0.0)
    return streams


def after(seconds: float) -> float:
    """That many from now, in the loop's time."""
    return asyncio.get_running_loop().time() + seconds


async def test_a_node_has_only_so_many_streams_that_are_not_idle(batcher: Batcher, streams: Streams) -> None:
    both = [Caller(batcher, streams) for _ in range(2)]
    await turns()
    with pytest.raises(CallError) as refused:
        streams.add(busy(batcher, streams), after(0))
    assert (refused.value.code, refused.value.definite) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert refused.value.retry_seconds > 0
    await turns()
    assert not any(caller.served.done() for caller in both)
    assert len(streams) == MAX_STREAMS


async def test_the_stream_that_is_idle_longest_makes_way_for_another(batcher: Batcher, streams: Streams) -> None:
    first, second = Caller(batcher, streams), Caller(batcher, streams)
    await first.call()
    streams.add(busy(batcher, streams), after(IDLE_SECONDS))
    with pytest.raises(CallError) as ended:
        await second.served
    assert (ended.value.code, ended.value.definite) == (grpc.StatusCode.UNAVAILABLE, True)
    assert ended.value.reason == "IDLE_STREAM"
    await first.call()
    assert len(streams) == MAX_STREAMS


async def test_a_stream_that_ended_leaves_its_room(batcher: Batcher, streams: Streams) -> None:
    await SlowReader(0).serve(batcher, streams)
    assert len(streams) == MAX_STREAMS - 2
