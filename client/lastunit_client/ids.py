"""Ids for commands whose caller brings none."""

import os
import time
from typing import Final

_48_BITS: Final = (1 << 48) - 1
_RANDOM_BYTES: Final = 10
_DRAWN_AT_ONCE: Final = 64  # ids; the kernel takes as long for one as for ten

_drawn: Final[list[str]] = []
_moment = (-1, "")  # a millisecond, and its digits
os.register_at_fork(after_in_child=_drawn.clear)  # a copy must not give out what the original gives out too


def new_id() -> str:
    """An id that nobody else has: 32 hex digits, 12 of them the wall clock's milliseconds and 20 of them random.

    Time comes first, as in UUIDv7 (RFC 9562), so that the ids of one moment are neighbours in the nodes' indexes.
    Nothing but locality depends on the clock: the 80 random bits make the id unique, whatever the clock says. They are
    drawn for many ids at once, and a process made by fork() draws its own.
    """
    global _moment  # noqa: PLW0603  # taken and given as a whole, by any thread
    now = time.time_ns() // 1_000_000 & _48_BITS
    moment, digits = _moment
    if moment != now:
        digits = now.to_bytes(6, "big").hex()
        _moment = now, digits
    return digits + _random()


def _random() -> str:
    """80 random bits in hex, given out once. For any thread: pop() is atomic, and whoever finds nothing draws more."""
    try:
        return _drawn.pop()
    except IndexError:
        digits = os.urandom(_RANDOM_BYTES * _DRAWN_AT_ONCE).hex()
        size = 2 * _RANDOM_BYTES
        mine, *others = [digits[start : start + size] for start in range(0, len(digits), size)]
        _drawn.extend(others)
        return mine
