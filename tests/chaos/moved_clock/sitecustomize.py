"""Put on a node's PYTHONPATH: its wall clock is wrong by as many seconds as a file says, which may change at any time.

Python's clocks only. gRPC subtracts Python's clock from the one of its C core to say how long a call has left, so it
keeps the true one: a real clock moves under both. libfaketime, which moves both, was tried: the cluster stalls for
seconds under it even while it moves the clock by nothing (why was not found out).
"""

import os
import time
from pathlib import Path
from types import SimpleNamespace

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # a C module without stubs

LOOK_EVERY_S = 0.1
_FILE = Path(os.environ["LASTUNIT_CHAOS_CLOCK"])
_real = SimpleNamespace(**vars(time))
_known = {"at": float("-inf"), "offset": 0.0}


def _offset() -> float:
    now = time.monotonic()
    if now - _known["at"] > LOOK_EVERY_S:
        try:
            _known.update(at=now, offset=float(_FILE.read_text()))
        except (OSError, ValueError):
            _known.update(at=now)  # being written; look again
    return _known["offset"]


def _clock_gettime(clock: int) -> float:
    moved = _offset() if clock == time.CLOCK_REALTIME else 0.0
    return float(_real.clock_gettime(clock)) + moved


cygrpc.time = _real
time.time = lambda: float(_real.time()) + _offset()
time.time_ns = lambda: int(_real.time_ns()) + int(_offset() * 1e9)
time.clock_gettime = _clock_gettime
