"""Counts the calls under way, and lets none in once it is closed: the front end's half of a drain.

When its server stops, gRPC cancels calls that came and were not yet taken, or that come on a connection whose other end
has not heard of it yet: their callers cannot tell what became of them. So refusals are held from shortly before that
until shortly after: those who call again as soon as they are refused have no call on its way in between.
"""

import asyncio
from typing import Final

from lastunit_node.frontend.errors import stopping

QUIET_LOOKS: Final = 10  # in a row at which no call had come: a process that gets no time takes one look late, not ten
MAX_LOOKS: Final = 50


class Gate:
    """Each call enters and leaves. `closed` is set for good by close()."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._under_way = 0
        self._refused = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._may_refuse = asyncio.Event()
        self._may_refuse.set()

    def enter(self) -> None:
        """Let a call in; CallError (UNAVAILABLE, definite) once closed."""
        if self.closed.is_set():
            self._refused += 1
            raise stopping(definite=True)
        self._under_way += 1
        self._idle.clear()

    def leave(self) -> None:
        """Note that the call ended."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    def close(self) -> None:
        """Refuse calls from now on."""
        self.closed.set()

    async def idle(self) -> None:
        """Return once no call is under way."""
        await self._idle.wait()

    async def hold_refusals(self, seconds: float) -> None:
        """Let who is refused wait, until let_go(). Returns when no call came for so long, or after five times that."""
        self._may_refuse.clear()
        quiet = 0
        for _ in range(MAX_LOOKS):
            before = self._refused
            await asyncio.sleep(seconds / QUIET_LOOKS)
            quiet = quiet + 1 if self._refused == before else 0
            if quiet == QUIET_LOOKS:
                break

    def let_go(self) -> None:
        """Let those go who are refused."""
        self._may_refuse.set()

    async def may_refuse(self) -> None:
        """Return once a refusal may be sent."""
        await self._may_refuse.wait()
