"""The proxy does to links what it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.real_cluster import free_ports

from chaos.proxy import CLIENTS, Network

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def network() -> AsyncIterator[tuple[Network, Streams]]:
    """n1 echoes; a client is connected to it."""
    port, through = free_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    made = Network(["n1", "n2"])
    await made.connect(CLIENTS, "n1", through, ("127.0.0.1", port))
    streams = await asyncio.open_connection("127.0.0.1", through)
    try:
        yield made, streams
    finally:
        streams[1].close()
        await made.close()
        server.close()


async def say(streams: Streams, text: bytes) -> bytes:
    streams[1].write(text)
    return await streams[0].readexactly(len(text))


async def test_bytes_pass() -> None:
    async with network() as (_, streams):
        assert await say(streams, b"hello") == b"hello"


@pytest.mark.parametrize("cut", [[(CLIENTS, "n1")], [("n1", CLIENTS)], [(CLIENTS, "n1"), ("n1", CLIENTS)]])
async def test_a_cut_holds_bytes_back_until_it_heals(cut: list[tuple[str, str]]) -> None:
    async with network() as (made, streams):
        await say(streams, b"hello")
        for pair in cut:
            made.flows[pair].cut()
        answer = asyncio.create_task(say(streams, b"again"))
        done, _ = await asyncio.wait({answer}, timeout=0.1)
        assert not done
        made.heal()
        assert await answer == b"again"


async def test_a_delay_lasts_as_long_as_it_says() -> None:
    async with network() as (made, streams):
        await say(streams, b"hello")
        made.flows["n1", CLIENTS].delay_s = 0.1
        begun = asyncio.get_running_loop().time()
        assert await say(streams, b"again") == b"again"
        assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_a_reset_breaks_connections_and_takes_new_ones() -> None:
    async with network() as (made, streams):
        await say(streams, b"hello")
        assert made.reset("n1", CLIENTS)
        assert not made.reset("n1", "n2")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await say(streams, b"again")
