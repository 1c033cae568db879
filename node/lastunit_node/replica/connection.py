"""One TCP connection between two nodes: non-blocking, bounded, silent for a bounded time.

It moves frames and nothing else. Whatever goes wrong (reset, nonsense, a full buffer, silence, a connect that takes too
long) ends it with one call of on_closed; a closed connection is never used again.
"""

import socket
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from pysyncobj.poller import POLL_EVENT_TYPE, Poller

from lastunit_node.replica import timing
from lastunit_node.replica.frames import FrameReader
from lastunit_node.replica.messages import MalformedMessage

MAX_UNSENT_BYTES: Final = 16 << 20  # more than a follower's window: a peer that takes this long is better reconnected
_SEND_BYTES: Final = 1 << 18
_RECEIVE_BYTES: Final = 1 << 18
_RECEIVES_PER_EVENT: Final = 16  # a flood of one peer does not starve the turn


class State(Enum):
    """Life of a connection."""

    CONNECTING = 1
    OPEN = 2
    CLOSED = 3


class Connection:
    """A socket and its two buffers. Times in monotonic seconds, given by the caller."""

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        state: State,
        now: float,
        *,
        on_open: Callable[["Connection"], None],
        on_value: Callable[["Connection", Any], None],
        on_closed: Callable[["Connection", str], None],
    ) -> None:
        self.state = state
        self.peer: str | None = None  # once it has said hello
        self._poller = poller
        self._socket = sock
        self._descriptor = sock.fileno()
        self._reader = FrameReader()
        self._unsent = bytearray()
        self._last_sent = self._last_received = now
        self._heard = False
        self._on_open, self._on_value, self._on_closed = on_open, on_value, on_closed
        self._watch()

    @classmethod
    def accepted(cls, poller: Poller, sock: socket.socket, now: float, **callbacks: Any) -> "Connection":
        """A connection that a peer made."""
        _prepare(sock)
        return cls(poller, sock, State.OPEN, now, **callbacks)

    @classmethod
    def dial(cls, poller: Poller, address: tuple[str, int], now: float, **callbacks: Any) -> "Connection | None":
        """Begin to connect; None when that fails at once."""
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError:  # no descriptor is left
            return None
        _prepare(sock)
        try:
            sock.connect(address)
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            return None
        return cls(poller, sock, State.CONNECTING, now, **callbacks)

    def send(self, frame: bytes, now: float) -> None:
        """Send, or buffer, one frame; a connection that is not open loses it."""
        if self.state is not State.OPEN:
            return
        self._last_sent = now
        sent = 0 if self._unsent else self._write(frame)
        if sent == len(frame):
            return
        self._unsent += frame[sent:]
        if len(self._unsent) > MAX_UNSENT_BYTES:
            self.close(f"{len(self._unsent)} bytes wait to be sent")
        elif self._unsent and self.state is State.OPEN:
            self._watch()

    def check_times(self, now: float) -> bool:
        """Close it when it is overdue; whether a sign of life is due from this side."""
        if self.state is State.CLOSED:
            return False
        limit = timing.CONNECTION_SILENCE if self._heard else timing.CONNECT_LIMIT
        if now - self._last_received > limit:
            self.close(f"nothing was heard for {limit:g} s")
            return False
        return self.state is State.OPEN and now - self._last_sent >= timing.KEEPALIVE

    def close(self, reason: str) -> None:
        """End it, once."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._poller.unsubscribe(self._descriptor)
        self._socket.close()
        self._on_closed(self, reason)

    def _watch(self) -> None:
        events = POLL_EVENT_TYPE.READ | POLL_EVENT_TYPE.ERROR
        if self._unsent or self.state is State.CONNECTING:
            events |= POLL_EVENT_TYPE.WRITE
        self._poller.subscribe(self._descriptor, self._on_event, events)

    def _on_event(self, _descriptor: int, events: int) -> None:
        if events & POLL_EVENT_TYPE.ERROR and not events & POLL_EVENT_TYPE.READ:
            self.close("the connection broke")
        if self.state is State.CONNECTING:
            self._finish_connecting()
        if events & POLL_EVENT_TYPE.WRITE and self.state is State.OPEN:
            self._flush()
        if events & POLL_EVENT_TYPE.READ and self.state is State.OPEN:
            self._receive()

    def _finish_connecting(self) -> None:
        problem = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            self.close("could not connect")
            return
        self.state = State.OPEN
        self._on_open(self)

    def _flush(self) -> None:
        del self._unsent[: self._write(bytes(self._unsent[:_SEND_BYTES]))]
        if self.state is State.OPEN:
            self._watch()

    def _write(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as problem:
            self.close(f"could not send: {problem.strerror}")
            return 0

    def _receive(self) -> None:
        for _ in range(_RECEIVES_PER_EVENT):
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as problem:
                self.close(f"could not receive: {problem.strerror}")
                return
            if not data:
                self.close("the peer closed it")
                return
            self._take(data)
            if self.state is not State.OPEN or len(data) < _RECEIVE_BYTES:
                return

    def _take(self, data: bytes) -> None:
        try:
            for value in self._reader.feed(data):
                self._on_value(self, value)
                if self.state is not State.OPEN:
                    return
        except MalformedMessage as problem:
            self.close(str(problem))

    def heard(self, now: float) -> None:
        """The peer said something that makes sense."""
        self._heard, self._last_received = True, now


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
