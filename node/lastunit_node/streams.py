"""The process's standard streams belong to whoever started it: closed, on a full disk, or a pipe that nobody reads.

None of that is a reason for a node to end: what stderr does not take is dropped. A pipe that is full and whose reader
lives, but does not read, makes a write wait.
"""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Final, TextIO

_LAST_STANDARD: Final = 2


class AnswerLost(Exception):
    """Stdout did not take the answer."""


def write_answer(text: str) -> None:
    """Write to stdout what was asked for. Raises AnswerLost."""
    try:
        if sys.stdout is None:  # it was closed from the start
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as problem:
        sys.stdout = None  # or Python would try again when it ends, and fail
        raise AnswerLost(
            f"stdout did not take the answer ({problem.strerror}), which says nothing about the data: ask again"
        ) from problem


def guard_streams() -> None:
    """Let nothing that is written to stderr fail from now on, whoever writes: our log, Python's warnings, a traceback.

    To be called before the process opens a file.
    """
    _fill_closed_descriptors()
    sys.stderr = _Unfailing(sys.stderr)


def _fill_closed_descriptors() -> None:
    """The next files would take the places of closed ones, and libraries in C write to 2, whatever it is."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _Unfailing(io.TextIOBase):
    """Passes on what can be written. Python gives None for a stream that was closed from the start."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """As every stream for writing."""
        return True

    def write(self, text: str, /) -> int:
        """Write, or drop it."""
        if self._stream is not None:
            with suppress(OSError, ValueError):  # ValueError: the stream was closed since
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand what was written to the system, as far as it takes it."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()
