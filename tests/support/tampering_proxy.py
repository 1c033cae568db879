"""A TCP proxy that passes bytes on, and harms the first answers that a test wants harmed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

READ_BYTES = 64 << 10

Harm = Callable[[bytes], bytes | None]


class TamperingProxy:
    """Answers of the target pass through `harm` while it is set; None from it ends the connection, and the harm."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._connections: set[asyncio.Task[None]] = set()
        self._harm: Harm | None = None
        self.harmed = 0

    def harm_next(self, harm: Harm) -> None:
        """Harm one answer: `harm` sees pieces of answers until it changes one."""
        self._harm = harm

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._join(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            back, forth = await asyncio.open_connection(*self._target)
            both = [
                asyncio.create_task(pump(reader, forth, bytes)),
                asyncio.create_task(pump(back, writer, self._alter)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
                forth.close()

    def _alter(self, data: bytes) -> bytes | None:
        if self._harm is None or (altered := self._harm(data)) == data:
            return data
        self._harm = None
        self.harmed += 1
        return altered

    async def stop(self) -> None:
        """Close every connection."""
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, alter: Harm) -> None:
    """Pass bytes on until either side ends, or `alter` gives None."""
    with suppress(OSError):
        while data := await source.read(READ_BYTES):
            if (altered := alter(data)) is None:
                return
            target.write(altered)
            await target.drain()


@asynccontextmanager
async def tampering_proxy(host: str, port: int) -> AsyncIterator[tuple[TamperingProxy, int]]:
    """A proxy before host:port, and the port of loopback it listens on."""
    proxy = TamperingProxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await proxy.stop()
        await server.wait_closed()
