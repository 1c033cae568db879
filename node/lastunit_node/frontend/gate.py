"""Counts the calls under way, and lets none in once it is closed: the front end's half of a drain.

When its server stops, gRPC cancels calls that came and were not yet taken, and their callers cannot tell what became of
them. So shortly before that, `hold` makes refusals wait until the server takes no more calls: those who call again as
soon as they are refused have no call on its way then.
"""

import asyncio

from lastunit_node.frontend.errors import stopping


class Gate:
    """Each call enters and leaves. `closed` is set for good by close(). Refusals are to be held for `hold` seconds."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.hold = 0.0
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
