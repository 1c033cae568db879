"""Fixtures: scripted nodes on loopback, and endpoints at which nobody answers."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from lastunit_client import AsyncInventoryClient

from .fake_node import Applied, FakeNode, NodeThread


@pytest.fixture
async def nodes() -> AsyncIterator[list[FakeNode]]:
    """Three nodes that share what is applied."""
    applied = Applied()
    started = [FakeNode(applied) for _ in range(3)]
    for node in started:
        await node.start()
    yield started
    for node in started:
        await node.stop()


@pytest.fixture
async def client(nodes: list[FakeNode]) -> AsyncIterator[AsyncInventoryClient]:
    async with AsyncInventoryClient([node.endpoint for node in nodes], timeout=5.0) as opened:
        yield opened


@pytest.fixture
def host() -> Iterator[NodeThread]:
    host = NodeThread()
    yield host
    host.end()


@pytest.fixture
def dead_endpoint() -> str:
    """Connections are refused there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def paused_endpoint() -> Iterator[str]:
    """The kernel accepts connections there and nobody ever says a word, as with a process that got SIGSTOP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
