"""PostgreSQL, one node, its defaults (fsync, synchronous_commit): a conditional UPDATE and an INSERT, one transaction.

Both are one prepared statement, so an order is one round trip; a connection for each caller. Its server refuses to run
as root: then it runs as the user `postgres`.
"""

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from support.programs import Program, ProgramError

from benchmarks.plan import Live, Operation, closed, opened, require
from lastunit_node.cli.sale.cluster import free_ports

USER = "postgres"
UNITS = 100_000_000
MOST_CALLERS = 64
START_LIMIT_S = 20.0
INITDB = ("--auth=trust", "--no-locale", "--no-sync")  # what initdb writes itself is not waited for
TABLES = """
CREATE TABLE stock (sku text PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0));
CREATE TABLE orders (id text PRIMARY KEY, sku text NOT NULL, quantity bigint NOT NULL);
"""
ORDER = """
WITH taken AS (
  UPDATE stock SET available = available - 1 WHERE sku = 'hot' AND available >= 1 RETURNING sku
)
INSERT INTO orders SELECT $1, sku, 1 FROM taken RETURNING quantity
"""


def programs() -> Path | None:
    """The folder of initdb and postgres: Debian keeps one for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def as_user() -> list[str]:
    """What to put before a command, so that it does not run as root."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []


def _is_user() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


class Postgres:
    """See plan.System."""

    name = "postgres"
    nodes = 1
    cases = (*closed("update + insert", 1, 8, 64), *opened("update + insert", 8))

    def missing(self) -> str | None:
        """Debian: postgresql."""
        if programs() is None:
            return "no PostgreSQL server (Debian: postgresql)"
        if as_user() and not (_is_user() and shutil.which("setpriv")):
            return f"PostgreSQL refuses to run as root: it takes setpriv and a user named {USER}"
        return None

    def version(self) -> str:
        """As it says itself."""
        said = subprocess.run([f"{programs()}/postgres", "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split()[2]

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        """A new database, and a connection for each caller."""
        port = next(free_ports())
        program = _start(folder, port)
        try:
            await program.listens(port)
            async with AsyncExitStack() as stack:
                connections = [await _connect(stack, port) for _ in range(MOST_CALLERS)]
                await connections[0].execute(TABLES)
                await connections[0].execute("INSERT INTO stock VALUES ('hot', $1)", UNITS)
                yield _Live(connections)
        finally:
            program.end()


def _start(folder: Path, port: int) -> Program:
    """Make a database and start its server."""
    data = folder / "data"
    data.mkdir()
    if as_user():
        shutil.chown(data, USER, USER)
        folder.chmod(0o711)  # else its user cannot reach it
    made = subprocess.run(
        [*as_user(), f"{programs()}/initdb", f"--pgdata={data}", f"--username={USER}", *INITDB],
        capture_output=True,
        text=True,
        cwd=data,
        check=False,
    )
    if made.returncode:
        raise ProgramError(f"initdb failed: {made.stderr}")
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 100}
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [*as_user(), f"{programs()}/postgres", "-D", str(data), *options]
    return Program(command, folder / "postgres.log", ending=signal.SIGQUIT)  # at once, all its processes


async def _connect(stack: AsyncExitStack, port: int) -> "asyncpg.Connection[asyncpg.Record]":
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            with contextlib.suppress(asyncpg.CannotConnectNowError):  # it listens a little before it serves
                connection = await asyncpg.connect(
                    host="127.0.0.1", port=port, user=USER, database="postgres", ssl=False
                )
                stack.push_async_callback(connection.close)
                return connection
            await asyncio.sleep(0.05)


class _Live:
    """See plan.Live."""

    def __init__(self, connections: "list[asyncpg.Connection[asyncpg.Record]]") -> None:
        self._connections = connections
        self._numbers = itertools.count(1)
        self.operations: Mapping[str, Operation] = {"update + insert": self._place}

    async def _place(self, caller: int) -> int:
        sold = await self._connections[caller].fetchval(ORDER, f"order-{next(self._numbers)}")
        return int(sold == 1)

    async def check(self, done: Mapping[str, int]) -> None:
        """One row an order, and so many fewer in stock."""
        sold = sum(done.values())
        left = await self._connections[0].fetchval("SELECT available FROM stock")
        rows = await self._connections[0].fetchval("SELECT count(*) FROM orders")
        require((left, rows) == (UNITS - sold, sold), f"{sold} were sold of {UNITS}: {left} left, {rows} orders")
