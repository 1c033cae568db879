"""When to give up on commands, with one timer for all that end at about the same time: one for each costs more."""

import asyncio
from typing import Final

from lastunit_client.batch import SILENT, Pending

_PER_SECOND: Final = 250  # an attempt ends up to 4 ms late, never early


class Deadlines:
    """The commands that wait, by the moment at which they are given up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._moments: dict[int, tuple[set[Pending], asyncio.TimerHandle]] = {}

    def add(self, pending: Pending) -> None:
        """Give it up at its `ends_at`."""
        moment = _moment(pending)
        if moment not in self._moments:
            self._moments[moment] = set(), self._loop.call_at(moment / _PER_SECOND, self._give_up, moment)
        self._moments[moment][0].add(pending)

    def discard(self, pending: Pending) -> None:
        """It ended."""
        moment = _moment(pending)
        if moment in self._moments:
            waiting, timer = self._moments[moment]
            waiting.discard(pending)
            if not waiting:
                timer.cancel()
                del self._moments[moment]

    def _give_up(self, moment: int) -> None:
        waiting, _ = self._moments.pop(moment)
        for pending in waiting:
            pending.end(SILENT)


def _moment(pending: Pending) -> int:
    return int(pending.ends_at * _PER_SECOND) + 1
