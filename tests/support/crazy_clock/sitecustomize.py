"""Put on a node's PYTHONPATH: its wall clock is a day off, and jumps between a day early and a day late all the time."""

import time

DAY_S = 86_400.0
_real_time, _real_time_ns = time.time, time.time_ns
_calls = 0


def _offset() -> float:
    global _calls
    _calls += 1
    return DAY_S if _calls % 2 else -DAY_S


time.time = lambda: _real_time() + _offset()
time.time_ns = lambda: _real_time_ns() + int(_offset() * 1e9)
