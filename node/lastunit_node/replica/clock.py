"""The clock that PySyncObj uses, looked up at each call, so that a test can put another in its place."""

from pysyncobj import syncobj


def monotonic() -> float:
    """Monotonic seconds. They pace; they decide nothing."""
    return float(syncobj.monotonicTime())
