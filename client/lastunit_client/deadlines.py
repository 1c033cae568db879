"""When to give up on commands, with one timer for all of a stream: one for each costs more than the rest of a wait."""

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from lastunit_client.batch import SILENT, UNSENT, Pending

_BUSY_SECONDS: Final = 0.1  # a timer that comes so much later: nothing was read in between
_REST: Final = 9  # times what a look took, until the next: a long queue of which calls end all the time


class SilenceTimer:
    """Calls back at `when` (loop time). If this process was too busy then, it first reads what came meanwhile."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._when = when
        self._callback = callback
        self._handle = self._loop.call_at(when, self._due)

    def cancel(self) -> None:
        """Do not call back any more."""
        self._handle.cancel()

    def _due(self) -> None:
        if self._loop.time() - self._when > _BUSY_SECONDS:
            self._handle = self._loop.call_later(_BUSY_SECONDS, self._callback)
        else:
            self._callback()


class Deadlines:
    """Ends each command in time, while it waits. waiting: gives those that may wait, whenever it is asked.

    ends_at: gives the moment for a command, whenever it is asked; it may have moved away, never nearer.
    """

    def __init__(self, waiting: Callable[[], Iterable[Pending]], ends_at: Callable[[Pending], float]) -> None:
        self._waiting = waiting
        self._ends_at = ends_at
        self._loop = asyncio.get_running_loop()
        self._look_at = inf  # no command that waits ends earlier
        self._timer: SilenceTimer | None = None

    def watch(self, ends_at: float) -> None:
        """A command that ends then is about to wait."""
        if ends_at < self._look_at:
            self.close()
            self._look_at = ends_at
            self._timer = SilenceTimer(ends_at, self._look)

    def close(self) -> None:
        """Give up on nothing any more."""
        self._look_at = inf
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """End what is overdue, and look again when the next one is."""
        started = self._loop.time()
        now = max(self._look_at, started)  # a timer may fire a little early
        self._look_at = inf
        next_end = inf
        for pending in self._waiting():
            if not pending.answer.done():
                ends_at = self._ends_at(pending)
                if ends_at > now:
                    next_end = min(next_end, ends_at)
                else:
                    pending.end(SILENT if pending.sent or pending.deadline > now else UNSENT)
        looked = self._loop.time()
        self.watch(max(next_end, looked + _REST * (looked - started)))
