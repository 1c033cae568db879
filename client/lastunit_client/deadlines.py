"""When to give up on commands, with one timer for all of a stream: one for each costs more than the rest of a wait."""

import asyncio
from collections.abc import Callable, Iterable
from math import inf

from lastunit_client.batch import SILENT, Pending


class Deadlines:
    """Ends each command at its `ends_at`, while it waits. waiting: gives those that may wait, whenever it is asked."""

    def __init__(self, waiting: Callable[[], Iterable[Pending]]) -> None:
        self._waiting = waiting
        self._loop = asyncio.get_running_loop()
        self._look_at = inf  # no command that waits ends earlier
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, ends_at: float) -> None:
        """A command that ends then is about to wait."""
        if ends_at < self._look_at:
            self.close()
            self._look_at = ends_at
            self._timer = self._loop.call_at(ends_at, self._look)

    def close(self) -> None:
        """Give up on nothing any more."""
        self._look_at = inf
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """End what is overdue, and look again when the next one is."""
        now = max(self._look_at, self._loop.time())  # a timer may fire a little early
        self._look_at = inf
        left = [pending for pending in self._waiting() if not pending.answer.done()]
        for pending in left:
            if pending.ends_at <= now:
                pending.end(SILENT)
        self.watch(min((pending.ends_at for pending in left if pending.ends_at > now), default=inf))
