"""The clock that PySyncObj uses, looked up at each call, so that a test can put another in its place.

Its own is a lambda around a system call that other threads' clocks do not use; Python's costs a third of that, and a
leader looks at it some fifty times an order.
"""

import time

from pysyncobj import syncobj

syncobj.monotonicTime = time.monotonic


def monotonic() -> float:
    """Monotonic seconds. They pace; they decide nothing."""
    now: float = syncobj.monotonicTime()
    return now
