"""The process's standard streams belong to whoever started it: closed, on a full disk, or a pipe that nobody reads.

None of that is a reason for a node to end, or to wait: what stderr does not take, or has no room for, is dropped.
"""

import errno
import io
import os
import select
import stat
import sys
import threading
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
        self._pipe = None if stream is None else _pipe_of(stream)
        self._room = select.poll()
        self._one = threading.RLock()  # who writes between a look and a write would take the room that was seen
        if self._pipe is not None:
            self._room.register(self._pipe, select.POLLOUT)

    def writable(self) -> bool:
        """As every stream for writing."""
        return True

    def write(self, text: str, /) -> int:
        """Write, or drop it."""
        with suppress(OSError, ValueError):  # ValueError: the stream was closed since
            if self._pipe is not None:
                self._write_to_pipe(self._pipe, text.encode(errors="backslashreplace"))
            elif self._stream is not None:
                self._stream.write(text)
        return len(text)

    def _write_to_pipe(self, pipe: int, data: bytes) -> None:
        """As much as there is room for: a pipe that is ready takes PIPE_BUF bytes without a wait."""
        for at in range(0, len(data), select.PIPE_BUF):
            with self._one:
                if not self._room.poll(0):
                    break
                os.write(pipe, data[at : at + select.PIPE_BUF])

    def flush(self) -> None:
        """Hand what was written to the system, as far as it takes it."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()


def _pipe_of(stream: TextIO) -> int | None:
    """The descriptor, if it is a pipe."""
    try:
        descriptor = stream.fileno()
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
    except (OSError, ValueError):
        return None
