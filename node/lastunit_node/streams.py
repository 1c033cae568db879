"""The standard streams belong to whoever started the process: closed, on a full disk, a pipe or socket nobody reads.

None of that is a reason for a node to end, or to wait: what stderr does not take, or has no room for, is dropped.
"""

import errno
import io
import os
import select
import socket
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
        self._channel = None if stream is None else _channel_of(stream)

    def writable(self) -> bool:
        """As every stream for writing."""
        return True

    def write(self, text: str, /) -> int:
        """Write, or drop it."""
        with suppress(OSError, ValueError):  # ValueError: the stream was closed since
            if self._channel is not None:
                self._channel.write(text.encode(errors="backslashreplace"))
            elif self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand what was written to the system, as far as it takes it."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()


class _Pipe:
    """Takes what there is room for: a pipe that is ready takes PIPE_BUF bytes without a wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._one = threading.RLock()  # who writes between a look and a write would take the room that was seen

    def write(self, data: bytes) -> None:
        """Write, and drop the rest."""
        for at in range(0, len(data), select.PIPE_BUF):
            with self._one:
                if not self._room.poll(0):
                    break
                os.write(self._descriptor, data[at : at + select.PIPE_BUF])


class _Socket:
    """The same of a socket, as systemd gives its services: the journal's."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._one = threading.RLock()  # lines stay whole

    def write(self, data: bytes) -> None:
        """Write. Raises BlockingIOError for the rest."""
        with self._one:
            while data:
                data = data[self._socket.send(data, socket.MSG_DONTWAIT) :]


def _channel_of(stream: TextIO) -> _Pipe | _Socket | None:
    """What may keep a writer waiting, if it is that."""
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISFIFO(mode):
        return _Pipe(descriptor)
    return _Socket(descriptor) if stat.S_ISSOCK(mode) else None
