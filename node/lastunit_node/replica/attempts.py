"""Gives proposals up that have no outcome in time. One timer for all, as all have the same time: the oldest is first.

A timer for each would be made and cancelled with every entry, and hardly ever fire.
"""

import asyncio
from collections import deque

from lastunit_node.replica.interface import FailureReason, ProposalFailed
from lastunit_node.statemachine.results import Applied


class Attempts:
    """Futures of proposals, oldest first. Used on the event loop."""

    def __init__(self, seconds: float) -> None:
        """seconds: how long an attempt may take."""
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[Applied]]] = deque()
        self._is_timer_set = False

    def begin(self) -> "asyncio.Future[Applied]":
        """The future of a proposal; it fails TIMED_OUT when nobody sets it in time."""
        future: asyncio.Future[Applied] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._seconds, future))
        if not self._is_timer_set:
            self._is_timer_set = True
            self._loop.call_later(self._seconds, self._look)
        return future

    def forget_ended(self) -> None:
        """Keep no outcomes."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

    def _look(self) -> None:
        now = self._loop.time()
        for deadline, future in self._waiting:
            if deadline <= now and not future.done():
                future.set_exception(ProposalFailed(FailureReason.TIMED_OUT))
        self.forget_ended()
        self._is_timer_set = bool(self._waiting)
        if self._waiting:
            self._loop.call_later(self._waiting[0][0] - now, self._look)
