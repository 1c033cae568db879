"""What failover.py measures: lastunit, and others by the same loop."""

import os
import signal
import time
from typing import NamedTuple, Protocol


class Leader(NamedTuple):
    """Who leads, in which term."""

    node: str
    term: int


class Target(Protocol):
    """A cluster under measurement."""

    nodes: tuple[str, ...]

    async def write(self, node: str) -> int | None:
        """Have one small thing committed through this node: in which term; None when that failed.

        Of an answer in a later term than the killed leader's, that leader was not needed.
        """
        ...

    async def leader(self) -> Leader | None:
        """Who leads, once every node is well; else None."""
        ...

    async def kill(self, node: str) -> float:
        """Have it killed, by kill_now(), whose time this is; nobody waits until it is gone."""
        ...

    async def start(self, node: str) -> None:
        """Start it again, once what was killed is gone."""
        ...


def kill_now(pid: int) -> float:
    """Send SIGKILL; when, by the monotonic clock. What a process takes to be gone is part of the gap that it leaves."""
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return at
