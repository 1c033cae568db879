"""Which node to try next: stay with one that works, put one that failed at the back for a while.

Pure bookkeeping on a monotonic clock that is handed in; a set of buyers that starts at different nodes stays spread.
"""

from collections.abc import Callable, Sequence
from typing import Final

_REST_SECONDS: Final = 1.0  # a killed node is back in about that time


class NodePool:
    """The endpoints, in the caller's order, and which of them failed of late."""

    def __init__(self, endpoints: Sequence[str], clock: Callable[[], float]) -> None:
        self._endpoints = tuple(endpoints)
        self._clock = clock
        self._current = 0
        self._resting: dict[str, float] = {}  # endpoint -> until when

    def pick(self, avoid: str | None = None) -> str:
        """The node to use now. avoid: where this call just failed; taken only if it is the only one."""
        if not self._resting and avoid is None:
            return self._endpoints[self._current]
        now = self._clock()
        self._resting = {endpoint: until for endpoint, until in self._resting.items() if until > now}
        ring = self._endpoints[self._current :] + self._endpoints[: self._current]
        others = [endpoint for endpoint in ring if endpoint != avoid] or ring
        return min(others, key=lambda endpoint: self._resting.get(endpoint, 0.0))

    def failed(self, endpoint: str) -> None:
        """Rest this node; if it was the one in use, go on with the next that does not rest."""
        self._resting[endpoint] = self._clock() + _REST_SECONDS
        self._current = self._endpoints.index(self.pick(avoid=endpoint))
