"""Ids for commands whose caller brings none."""

import os
import time
from typing import Final

_48_BITS: Final = (1 << 48) - 1


def given_or_new(request_id: str | None) -> str:
    """The caller's id, or a new one."""
    return new_id() if request_id is None else request_id


def new_id() -> str:
    """An id that nobody else has: 32 hex digits, 12 of them the wall clock's milliseconds and 20 of them random.

    Time comes first, as in UUIDv7 (RFC 9562), so that the ids of one moment are neighbours in the nodes' indexes.
    Nothing but locality depends on the clock: the 80 random bits make the id unique, whatever the clock says. They are
    drawn for each id, so that a fork copies none.
    """
    return f"{time.time_ns() // 1_000_000 & _48_BITS:012x}{os.urandom(10).hex()}"
