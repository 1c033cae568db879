"""The raft link: PySyncObj's Transport over framed TCP of our own (the stock port unpickles).

Of two nodes the one with the greater name dials. Both say hello first (hello.py). Nobody is a peer before its hello
fits; a stranger is cut off, and at most MAX_STRANGERS are heard at a time. A second connection of a peer closes the
first before it counts, so nothing is read from a connection that was replaced. There are no admin verbs and no
read-only peers. While the system gives no more descriptors, peers wait: who dials tries again, and so does who accepts.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from pysyncobj.node import Node
from pysyncobj.poller import POLL_EVENT_TYPE, Poller

from lastunit_node.replica import timing
from lastunit_node.replica.clock import monotonic
from lastunit_node.replica.connection import Connection
from lastunit_node.replica.frames import encode_frame
from lastunit_node.replica.hello import ADVICE, Hello, Refusal, refusal_of
from lastunit_node.replica.syncobj import Peer

_log = structlog.get_logger()

MAX_STRANGERS: Final = 16  # accepted connections that have not said who they are
_BACKLOG: Final = 16
_KEEPALIVE: Final = {"type": "keepalive"}

Address = tuple[str, int]


class CannotLinkError(Exception):
    """The raft address cannot be bound: most often its port is taken."""


def _listen(address: Address) -> socket.socket:
    try:
        return socket.create_server(address, backlog=_BACKLOG)
    except OSError as problem:
        host, port = address
        raise CannotLinkError(f"cannot listen on raft address {host}:{port}: {problem.strerror}") from problem


class RaftLink:
    """Connections to all peers, made again whenever they break. Used by the Raft thread only."""

    def __init__(self, hello: Hello, address: Address, peers: Mapping[str, Address]) -> None:
        """Bind and listen. Raises CannotLinkError when the address is taken."""
        self._tell_message: Callable[[Node, Any], None] | None = None
        self._tell_connected: Callable[[Node], None] | None = None
        self._tell_disconnected: Callable[[Node], None] | None = None
        self._hello = hello
        self._addresses = dict(peers)
        self._nodes = {name: Peer(name) for name in peers}
        self._open: dict[str, Connection] = {}
        self._instances: dict[str, str] = {}
        self._dialling: dict[str, Connection] = {}
        self._strangers: set[Connection] = set()
        self._said: dict[tuple[str, str], float] = {}  # when it was last said: peer (or none), what
        self._dial_after: dict[str, float] = {}
        self._accept_after: float | None = None  # while the listener is not polled
        self._next_look = float("-inf")
        self._message: Any = None  # the last one that was sent, and
        self._frame = b""
        self._server = _listen(address)
        self._server.setblocking(False)
        self._poller: Poller | None = None

    def start(self, poller: Poller) -> None:
        """Accept and dial from now on, whenever the poller polls."""
        self._poller = poller
        self._watch_server()

    def on_tick(self) -> None:
        """Once a turn: now and then dial whom this node is to dial, close what is overdue, give signs of life."""
        now = monotonic()
        if now < self._next_look:
            return
        self._next_look = now + timing.LOOK_AT_LINKS
        if self._accept_after is not None and now >= self._accept_after:
            self._watch_server()
        for name in self._addresses:
            if name < self._hello.node and self._may_dial(name, now):
                self._dial(name, now)
        for connection in [*self._open.values(), *self._dialling.values(), *self._strangers]:
            if connection.check_times(now) and connection not in self._strangers:
                connection.send(encode_frame(_KEEPALIVE), now)

    # PySyncObj's interface.

    def setOnMessageReceivedCallback(self, callback: Callable[[Node, Any], None] | None) -> None:  # noqa: N802
        """Whom to give what peers send; nobody, when it is None."""
        self._tell_message = callback

    def setOnNodeConnectedCallback(self, callback: Callable[[Node], None] | None) -> None:  # noqa: N802
        """Whom to tell of a peer that said hello."""
        self._tell_connected = callback

    def setOnNodeDisconnectedCallback(self, callback: Callable[[Node], None] | None) -> None:  # noqa: N802
        """Whom to tell of a peer whose connection closed."""
        self._tell_disconnected = callback

    def send(self, node: Node, message: Any) -> bool:
        """Send to a peer, or lose the message; whether there was a connection."""
        connection = self._open.get(node.id)
        if connection is None:
            return False
        if message is not self._message:  # appends go to all followers, and are the same for most
            self._message, self._frame = message, encode_frame(message)
        connection.send(self._frame, monotonic())
        return True

    def disconnect(self, node: Node, reason: str) -> None:
        """Cut a peer off; it may connect again."""
        connection = self._open.get(node.id)
        if connection is not None:
            connection.close(reason)

    def destroy(self) -> None:
        """Close everything, without telling Raft."""
        self.setOnNodeDisconnectedCallback(None)
        self.setOnMessageReceivedCallback(None)
        if self._poller is not None:
            self._poller.unsubscribe(self._server.fileno())
            self._poller = None
        self._server.close()
        for connection in [*self._open.values(), *self._dialling.values(), *self._strangers]:
            connection.close("this node stops")

    # Making connections.

    def _may_dial(self, name: str, now: float) -> bool:
        return name not in self._open and name not in self._dialling and now >= self._dial_after.get(name, 0.0)

    def _dial(self, name: str, now: float) -> None:
        self._dial_after[name] = now + timing.CONNECT_RETRY
        connection = Connection.dial(self._poller, self._addresses[name], now, **self._callbacks())
        if connection is not None:
            self._dialling[name] = connection

    def _accept(self, _descriptor: int, _events: int) -> None:
        try:
            sock, _ = self._server.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone already
        except OSError as problem:
            self._rest(problem)
            return
        if len(self._strangers) >= MAX_STRANGERS:
            sock.close()
            return
        connection = Connection.accepted(self._poller, sock, monotonic(), **self._callbacks())
        self._strangers.add(connection)
        self._on_open(connection)

    def _watch_server(self) -> None:
        self._accept_after = None
        if self._poller is not None:
            self._poller.subscribe(self._server.fileno(), self._accept, POLL_EVENT_TYPE.READ)

    def _rest(self, problem: OSError) -> None:
        """Accept nobody for a while: who waits still does, and every poll would return at once to say so."""
        now = monotonic()
        self._accept_after = now + timing.CONNECT_RETRY
        if self._poller is not None:
            self._poller.unsubscribe(self._server.fileno())
        if self._is_news(("", str(problem.strerror)), now):
            _log.warning("cannot accept a connection", problem=problem.strerror)

    def _callbacks(self) -> dict[str, Any]:
        return {"on_open": self._on_open, "on_value": self._on_value, "on_closed": self._on_closed}

    def _on_open(self, connection: Connection) -> None:
        connection.send(encode_frame(self._hello.message()), monotonic())

    # What arrives.

    def _on_value(self, connection: Connection, value: Any) -> None:
        name = connection.peer
        if name is None:
            self._on_hello(connection, value)
            return
        connection.heard(monotonic())
        if isinstance(value, dict) and value.get("instance", self._instances[name]) != self._instances[name]:
            connection.close("it speaks of another disk than in its hello")
        elif value != _KEEPALIVE and self._tell_message is not None:
            self._tell_message(self._nodes[name], value)

    def _on_hello(self, connection: Connection, value: Any) -> None:
        dialled = next((name for name, known in self._dialling.items() if known is connection), None)
        refusal = refusal_of(value, self._hello, dialled)
        if refusal is not None:
            self._refuse(connection, refusal)
            return
        self._strangers.discard(connection)
        name = value["node"]
        self._dialling.pop(name, None)
        older = self._open.pop(name, None)
        if older is not None:
            older.close("replaced by a newer connection")
            self._lost(name)
        connection.heard(monotonic())
        connection.peer = name
        self._open[name] = connection
        self._instances[name] = value["instance"]
        if self._tell_connected is not None:
            self._tell_connected(self._nodes[name])

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        """Cut it off, and say so, but not as often as it comes again."""
        about = refusal.peer if refusal.peer in self._nodes else "", refusal.problem
        if self._is_news(about, monotonic()):
            _log.warning("refused a peer", **refusal._asdict(), advice=ADVICE[refusal.problem])
        connection.close(refusal.problem)

    def _is_news(self, about: tuple[str, str], now: float) -> bool:
        """Whether it was not said for a while; counts as said when True."""
        is_news = now - self._said.get(about, float("-inf")) >= timing.REFUSED
        if is_news:
            self._said[about] = now
        return is_news

    def _on_closed(self, connection: Connection, reason: str) -> None:
        self._strangers.discard(connection)
        for dialled, known in list(self._dialling.items()):
            if known is connection:
                del self._dialling[dialled]
        name = connection.peer
        if name is None or self._open.get(name) is not connection:
            return
        del self._open[name]
        if self._is_news((name, "closed"), monotonic()):
            _log.info("connection to a peer closed", peer=name, reason=reason)
        self._lost(name)

    def _lost(self, name: str) -> None:
        if self._tell_disconnected is not None:
            self._tell_disconnected(self._nodes[name])
