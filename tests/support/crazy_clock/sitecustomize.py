"""Put on a node's PYTHONPATH: its wall clock jumps between a day early and a day late, all the time."""

import itertools
import time

DAY_S = 86_400.0
_real_time, _real_time_ns = time.time, time.time_ns
_offsets = itertools.cycle((DAY_S, -DAY_S))

time.time = lambda: _real_time() + next(_offsets)
time.time_ns = lambda: _real_time_ns() + int(next(_offsets) * 1e9)
