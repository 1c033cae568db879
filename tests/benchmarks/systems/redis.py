"""Redis, one node, a script that takes a unit and notes the order, the append-only file synced before every answer."""

import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from support.programs import Program

from benchmarks.plan import Live, Operation, closed, opened, require
from lastunit_node.cli.sale.cluster import free_ports

PROGRAM = shutil.which("redis-server")
UNITS = 100_000_000
MESSAGE = 100
MOST_CALLERS = 256

# 1 for a sale and for a repeated order, 0 for out of stock.
SCRIPT = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
local left = tonumber(redis.call('GET', KEYS[1]))
if left < 1 then return 0 end
redis.call('SET', KEYS[1], left - 1)
redis.call('SET', KEYS[2], 'hot 1')
return 1
"""


class RedisServer:
    """See plan.System."""

    name = "redis"
    nodes = 1
    cases = (
        *closed("lua", 1, 64, 256),
        *closed("lua, pipelined", 8, batch=MESSAGE),
        *opened("lua", 64),
    )

    def missing(self) -> str | None:
        """Debian: redis-server."""
        return None if PROGRAM else "no redis-server on PATH (Debian: redis-server)"

    def version(self) -> str:
        """As it says itself."""
        said = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True).stdout
        return said.split()[2].removeprefix("v=")

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        """A server with stock, and a connection for each caller."""
        port = next(free_ports())
        command = [str(PROGRAM), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        program = Program([*command, *durable], folder / "redis.log")
        try:
            await program.listens(port)
            connections = [Redis(port=port, single_connection_client=True) for _ in range(MOST_CALLERS)]
            try:
                await connections[0].set("stock", UNITS)
                yield _Live(connections)
            finally:
                for connection in connections:
                    await connection.aclose()
        finally:
            program.end()


class _Live:
    """See plan.Live."""

    def __init__(self, connections: list[Redis]) -> None:
        self._connections = connections
        self._scripts = [AsyncScript(connection, SCRIPT) for connection in connections]
        self._numbers = itertools.count(1)
        self.operations: Mapping[str, Operation] = {"lua": self._place, "lua, pipelined": self._place_many}

    async def _place(self, caller: int) -> int:
        return int(await self._scripts[caller](keys=["stock", f"order-{next(self._numbers)}"]))

    async def _place_many(self, caller: int) -> int:
        async with self._connections[caller].pipeline(transaction=False) as pipeline:
            for _ in range(MESSAGE):
                await self._scripts[caller](keys=["stock", f"order-{next(self._numbers)}"], client=pipeline)
            return sum(await pipeline.execute())

    async def check(self, done: Mapping[str, int]) -> None:
        """One key an order, and so many fewer in stock."""
        sold = sum(done.values())
        left = int(await self._connections[0].get("stock") or -1)
        keys = await self._connections[0].dbsize()
        require(
            (left, keys) == (UNITS - sold, sold + 1), f"{sold} were sold of {UNITS}: {left} left, {keys - 1} orders"
        )
