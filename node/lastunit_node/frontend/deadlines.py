"""When a call must have been answered, in seconds of the event loop's monotonic clock.

A call, or a command of an Execute message, that names no deadline gets DEFAULT_SECONDS, longer than a failover; none
waits for longer than MAX_SECONDS. An error leaves a margin before the caller's own timer fires, so that the caller
learns whether it is definite.
Deadlines pace; they decide nothing (promise 3).
"""

from typing import Final

DEFAULT_SECONDS: Final = 10.0
MAX_SECONDS: Final = 60.0
MARGIN_SECONDS: Final = 0.1  # at most; of a short deadline, MARGIN_SHARE of it
MARGIN_SHARE: Final = 0.1


def seconds_for(asked: float | None) -> float:
    """How long work may take here, in seconds, when its caller waits for so long; None: it did not say."""
    if asked is None:
        return DEFAULT_SECONDS
    return min(asked - min(MARGIN_SECONDS, asked * MARGIN_SHARE), MAX_SECONDS)
