"""A TCP proxy on every link: cut, cut one way, delayed, reset. In user space, so that nobody has to be root.

A cut holds bytes back and loses none, as TCP does while its packets are dropped: when the link heals, what is still
wanted arrives. Meanwhile whoever dials is connected, and hears nothing. Bytes flow between two names, each direction
with a state of its own; the proxies of all ports between the same two names share it.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from itertools import permutations

_CHUNK = 1 << 16
_CHUNKS_UNDER_WAY = 64
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST
CLIENTS = "clients"


class Flow:
    """One direction between two names."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        """Let nothing through."""
        self._open.clear()

    def heal(self) -> None:
        """Let everything through again, also what was held back."""
        self._open.set()
        self.delay_s = 0.0

    async def passage(self, arrived_at: float) -> None:
        """Wait until bytes that arrived then may go on."""
        late = arrived_at + self.delay_s - asyncio.get_running_loop().time()
        if late > 0:
            await asyncio.sleep(late)
        await self._open.wait()


class Network:
    """All flows between nodes and clients, and the proxies on them. Belongs to one event loop."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = (*names, CLIENTS)
        self.flows = {pair: Flow() for pair in permutations(self.names, 2)}
        self._proxies: list[Proxy] = []

    async def connect(self, dialler: str, target: str, port: int, to: tuple[str, int]) -> None:
        """From now on `dialler` reaches an address of `target` at this port of loopback."""
        proxy = Proxy(self.flows[dialler, target], self.flows[target, dialler], frozenset((dialler, target)), to)
        await proxy.listen(port)
        self._proxies.append(proxy)

    def pairs_of(self, name: str) -> list[tuple[str, str]]:
        """Both directions of every link between a node and the other nodes."""
        return [pair for pair in self.flows if name in pair and CLIENTS not in pair]

    def reset(self, one: str, other: str) -> int:
        """Break every connection between the two with RST; how many there were."""
        return sum(proxy.reset() for proxy in self._proxies if proxy.ends == {one, other})

    def heal(self) -> None:
        """Heal every flow."""
        for flow in self.flows.values():
            flow.heal()

    async def close(self) -> None:
        """Close every proxy and every connection."""
        for proxy in self._proxies:
            await proxy.close()


class Proxy:
    """One listening port; every connection to it is carried on to one address."""

    def __init__(self, forth: Flow, back: Flow, ends: frozenset[str], to: tuple[str, int]) -> None:
        self.ends = ends
        self._forth, self._back, self._to = forth, back, to
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, port: int) -> None:
        """Accept from now on."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)

    def reset(self) -> int:
        """Break all connections with RST; how many ends there were."""
        broken = list(self._writers)
        for writer in broken:
            abort(writer)
        return len(broken)

    async def close(self) -> None:
        """Stop, at once."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the target is down, or the run is over: the dialler sees its connection break
        finally:
            self._writers.discard(writer)
            abort(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._forth.passage(0.0)
        onward_reader, onward_writer = await asyncio.open_connection(*self._to)
        self._writers.add(onward_writer)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(pump(reader, onward_writer, self._forth))
                both.create_task(pump(onward_reader, writer, self._back))
        except* OSError:
            pass  # either end broke: both are closed
        finally:
            self._writers.discard(onward_writer)
            abort(onward_writer)


Chunks = asyncio.Queue[tuple[float, bytes]]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow) -> None:
    """Carry bytes one way until their end; then the end is carried, as OSError to stop the other way too."""
    chunks: Chunks = asyncio.Queue(_CHUNKS_UNDER_WAY)
    async with asyncio.TaskGroup() as both:
        both.create_task(_take(reader, chunks))
        both.create_task(_give(chunks, writer, flow))


async def _take(reader: asyncio.StreamReader, chunks: Chunks) -> None:
    data = b"?"
    while data:
        try:
            data = await reader.read(_CHUNK)
        except OSError:
            data = b""  # a reset reaches the other end as late as bytes would
        await chunks.put((asyncio.get_running_loop().time(), data))


async def _give(chunks: Chunks, writer: asyncio.StreamWriter, flow: Flow) -> None:
    while True:
        arrived_at, data = await chunks.get()
        await flow.passage(arrived_at)
        if not data:
            raise ConnectionResetError
        writer.write(data)
        await writer.drain()


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
