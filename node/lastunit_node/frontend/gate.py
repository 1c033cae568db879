"""Counts the calls under way, and lets none in once it is closed: the front end's half of a drain."""

import asyncio

from lastunit_node.frontend.errors import stopping


class Gate:
    """Each call enters and leaves. `closed` is set for good by close()."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Let a call in; CallError (UNAVAILABLE, definite) once closed."""
        if self.closed.is_set():
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
