"""Makes a -wal as long as it will become before it is needed: a sync that makes a file longer takes half as long again.

SQLite writes a -wal from its start over and over, and makes it longer only on the first way through: the first orders
of a fresh start would all pay for that (a sync of three nodes on one disk: 430-500 us instead of 290, measured).
What follows the log in the file means nothing to SQLite: usually it is what an earlier log left; here it is zeros.
"""

import errno
import os
from pathlib import Path
from typing import Final

from lastunit_node.wal.scan import wal_of

PAGE_BYTES: Final[int] = 16 << 10  # has room for five entries of 64 orders: a sync writes one page or two, not three
CHECKPOINT_PAGES: Final[int] = 400  # when a -wal has so many, SQLite starts over
GROWN_BYTES: Final = 8 << 20  # one transaction more has room


def grow_wal(database: Path) -> None:
    """Fill the -wal of a database that was just checkpointed up with zeros; where the disk is full, leave it short."""
    descriptor = os.open(wal_of(database), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size < GROWN_BYTES:
            _append_zeros(descriptor, size)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append_zeros(descriptor: int, size: int) -> None:
    try:
        os.pwrite(descriptor, bytes(GROWN_BYTES - size), size)
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        os.ftruncate(descriptor, size)
