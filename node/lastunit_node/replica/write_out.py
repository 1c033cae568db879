"""Lets the kernel begin to write a state to disk, before a checkpoint's sync waits for it.

What COMMITs write stays in the kernel's memory until a checkpoint syncs it, tens of MB at once. The journal's sync, for
which orders wait, then stands behind it: 40 ms instead of 0.8 (by strace, three nodes on one disk). Begun every
hundredth of a second, the same writes leave room for others: checkpoints.py has the figures.

Nothing relies on it. What is durable is decided by SQLite's syncs, which also report what went wrong with these writes.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lastunit_node import sqlite

PAUSE: Final = 0.01  # seconds between two beginnings

_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE, linux/fs.h: begin to write what is not being written, and do not wait

_sync_file_range: Final = ctypes.CDLL(None).sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def begin_to_write(file: int) -> None:
    """Of an open file, all that is not on disk."""
    _sync_file_range(file, 0, 0, _WRITE)  # a failure here is one of the sync that follows


class WriteOut:
    """A thread that begins the writes of a state's files: some time after a COMMIT, and all through a checkpoint."""

    def __init__(self, connection: "sqlite.Connection", on_fatal: Callable[[BaseException], None]) -> None:
        """connection: to the state, in WAL mode, and open as long as this; on_fatal is called on the thread.

        The files stay open until close(): whoever closes one lets go of every lock that this process has on it.
        """
        self._on_fatal = on_fatal
        self._files = [
            os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (connection.filename, connection.filename_wal)
        ]
        self._told = threading.Event()
        self._is_checkpoint = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="write-out", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        """There was a COMMIT. Any thread."""
        self._told.set()

    @contextmanager
    def during_checkpoint(self) -> Iterator[None]:
        """A checkpoint is under way until the end of the block."""
        self._is_checkpoint = True
        self._told.set()
        try:
            yield
        finally:
            self._is_checkpoint = False

    def close(self) -> None:
        """Begin no other."""
        self._closing.set()
        self._told.set()
        self._thread.join()
        for file in self._files:
            os.close(file)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():  # looked at after clear(), which may undo what close() told
                self._told.wait()
                if self._closing.wait(PAUSE):
                    return
                if not self._is_checkpoint:
                    self._told.clear()
                for file in self._files:
                    begin_to_write(file)
        except BaseException as problem:
            self._on_fatal(problem)
            raise
