"""How far the sale is: counts that buyers keep, and the turnstile in front of `confirm`.

Kills of the leader happen at a point of the sale, not at a point in time, so that a fast machine and a slow one tell
the same story. For that the turnstile lets only so many confirms begin before the next kill has happened: the sale
cannot be over before the last one, and some calls are always under way when a leader dies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Progress:
    """Shared by the buyers and the killer of one sale, on one event loop."""

    def __init__(self) -> None:
        self.holds = 0  # reserves answered RESERVED
        self.placed = 0
        self.refusals = 0
        self.payments_failed = 0
        self.expired = 0  # holds lost to the clock
        self.closed = False
        self._confirming = 0
        self._limit: int | None = None
        self._changed = asyncio.Condition()

    async def limit_confirms(self, limit: int | None) -> None:
        """From now on, let confirms begin while fewer than `limit` are placed or under way; None: no limit."""
        async with self._changed:
            self._limit = limit
            self._changed.notify_all()

    @asynccontextmanager
    async def confirming(self) -> AsyncIterator[None]:
        """Around one confirm and the count of its outcome: waits for a turn first."""
        async with self._changed:
            await self._changed.wait_for(self._may_confirm)
            self._confirming += 1
        try:
            yield
        finally:
            self._confirming -= 1
            await self.changed()

    @property
    def on_hold(self) -> int:
        """Holds that are neither sold nor given back, as far as their buyers know."""
        return self.holds - self.placed - self.payments_failed - self.expired

    async def changed(self) -> None:
        """Say that a count was changed."""
        async with self._changed:
            self._changed.notify_all()

    async def close(self) -> None:
        """No buyer is left: nothing will change any more."""
        self.closed = True
        await self.changed()

    async def until(self, reached: Callable[["Progress"], bool]) -> bool:
        """Wait for a point of the sale; False when the sale ended before it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.closed or reached(self))
        return reached(self)

    def _may_confirm(self) -> bool:
        return self._limit is None or self.placed + self._confirming < self._limit
