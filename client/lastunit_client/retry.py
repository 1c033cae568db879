"""When a call may try again and for how long: pure arithmetic on a monotonic clock that is handed in.

An attempt never gets all the time that is left (unless little is), so that a paused node leaves time for another one.
Waits grow exponentially with full jitter, so that the buyers of a flash sale do not come back in step.
"""

from collections.abc import Callable
from typing import Final

from lastunit_client.errors import LastUnitError
from lastunit_client.failures import Failure, to_error

_FIRST_WAIT: Final = 0.025  # seconds; doubles with every attempt
_LONGEST_WAIT: Final = 1.0  # seconds
_MOST_DOUBLINGS: Final = 6  # more are longer than that, and in the end than a float can say
_SHORTEST_SPLIT: Final = 0.5  # seconds; with less time left, one attempt gets all of it

_ASK_AGAIN: Final = "call again with the same id to find out"


def attempt_end(now: float, deadline: float, attempt_timeout: float) -> float:
    """When to give up on an attempt that starts now, of a call that ends at the deadline. Later starts end later."""
    left = deadline - now
    share = left if left <= _SHORTEST_SPLIT else left / 2
    return now + min(attempt_timeout, share)


class Attempts:
    """One call's attempts: whether there is to be another, and what all of them came to.

    deadline, now: seconds of one monotonic clock. draw: a random number in [0, 1), for the jitter.
    """

    def __init__(self, deadline: float, draw: Callable[[], float]) -> None:
        self.deadline = deadline
        self._draw = draw
        self._failed = 0
        self.definite = True  # no attempt so far may have been applied

    def wait_after(self, failure: Failure, now: float) -> float | None:
        """Seconds to wait before the next attempt; None when there is to be none."""
        self.definite = self.definite and failure.definite
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(self._failed, _MOST_DOUBLINGS))
        wait = (failure.retry_after or 0.0) + self._draw() * longest
        self._failed += 1
        return wait if failure.retryable and now + wait < self.deadline else None

    def error(self, failure: Failure, endpoint: str, request_id: str | None) -> LastUnitError:
        """What the caller gets when the call ends with this failure."""
        tries = "" if self._failed == 1 else f" (attempt {self._failed})"
        message = f"{failure.code.name} from {endpoint}{tries}: {failure.message}"
        if request_id is not None:
            message += self._consequence(failure)
        return to_error(failure, message, definite=self.definite, request_id=request_id)

    def _consequence(self, failure: Failure) -> str:
        """What became of the command, where the message does not say it: a node's own does, for its attempt."""
        if not self.definite and failure.definite:
            return f"; but an earlier attempt may have been applied: {_ASK_AGAIN}"
        if failure.reason:
            return ""
        return "; nothing was applied" if self.definite else f"; the command may have been applied: {_ASK_AGAIN}"
