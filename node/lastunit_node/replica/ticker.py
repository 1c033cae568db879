"""When the leader proposes the next Tick (docs/raft-rules.md, rule 10). Pure: it is given the time.

One Tick an interval after the latest of: the clock's last change, this leader's no-op applied, its last proposal. Late
timers never burst, and a new leader waits one full interval; so a leader change pauses the clock and never shortens a
hold.
"""


class Ticker:
    """Paces Tick proposals of one node. Times in monotonic seconds."""

    def __init__(self) -> None:
        self._clock = -1
        self._leading_term = -1
        self._since = 0.0

    def is_due(self, now: float, clock: int, leading_term: int, interval: float) -> bool:
        """Whether Tick(clock) is to be proposed now; counts as proposed when True.

        leading_term: the term in which this node leads and has applied its own no-op.
        """
        if clock != self._clock or leading_term != self._leading_term:
            self._clock, self._leading_term, self._since = clock, leading_term, now
            return False
        if now - self._since < interval:
            return False
        self._since = now
        return True
