"""The ceiling: one grpc.aio process that answers orders at once, as large as a node does; it keeps nothing."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import grpc
from support.programs import Program

from benchmarks.plan import Live, Operation, closed
from benchmarks.systems.orders import LIMIT_S, Messages, by_client, by_unary
from lastunit_client import AsyncInventoryClient
from lastunit_node.cli.sale.cluster import free_ports

MESSAGE = 100
SERVER = Path(__file__).with_name("echo_server.py")


class Echo:
    """See plan.System."""

    name = "echo"
    nodes = 1
    cases = (
        *closed("place", 1, 64, 256),
        *closed("place, unary", 1, 64),
        *closed("place, messages", 8, batch=MESSAGE),
    )

    def missing(self) -> None:
        """It is always here."""

    def version(self) -> str:
        """Of gRPC."""
        return f"grpcio {version('grpcio')}"

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        """The process, and clients of it."""
        port = next(free_ports())
        program = Program([sys.executable, "-P", str(SERVER), str(port)], folder / "echo.log")
        try:
            await program.listens(port)
            at = f"127.0.0.1:{port}"
            async with AsyncInventoryClient([at], timeout=LIMIT_S) as client, grpc.aio.insecure_channel(at) as channel:
                yield _Live(client, channel)
        finally:
            program.end()


class _Live:
    """See plan.Live."""

    def __init__(self, client: AsyncInventoryClient, channel: grpc.aio.Channel) -> None:
        self.operations: Mapping[str, Operation] = {
            "place": by_client(client, lambda: {"hot": 1}),
            "place, unary": by_unary(channel, "unary"),
            "place, messages": Messages(channel, "message", MESSAGE),
        }

    async def check(self, done: Mapping[str, int]) -> None:
        """There is nothing to hold it to."""
