"""One connection by itself, between two sockets of this process."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pysyncobj.poller import POLL_EVENT_TYPE

from lastunit_node.replica.connection import Connection, State
from lastunit_node.replica.frames import encode_frame


class FakePoller:
    """Remembers what is polled; two connections may have had the same descriptor one after the other."""

    def __init__(self) -> None:
        self.polled: dict[int, Callable[[int, int], None]] = {}
        self.events = 0

    def subscribe(self, descriptor: int, callback: Callable[[int, int], None], events: int) -> None:
        self.polled[descriptor], self.events = callback, events

    def unsubscribe(self, descriptor: int) -> None:
        self.polled.pop(descriptor, None)


class Ends:
    """A connection, the other end of its socket, and what it said."""

    def __init__(self) -> None:
        self.poller = FakePoller()
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.said: list[Any] = []
        self.connection = Connection(
            self.poller,
            ours,
            State.OPEN,
            0.0,
            on_open=lambda _connection: None,
            on_value=lambda connection, value: self.said.append(value) if value else connection.close("nothing"),
            on_closed=lambda _connection, reason: self.said.append(reason),
        )


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    with made.theirs:
        yield made
        made.connection.close("the test is over")


def test_a_connection_ends_once(ends: Ends) -> None:
    """Its descriptor may be that of another connection by then."""
    (descriptor,) = ends.poller.polled
    ends.connection.close("first")
    ends.poller.subscribe(descriptor, lambda _descriptor, _events: None, POLL_EVENT_TYPE.READ)
    ends.connection.close("second")
    ends.connection.send(encode_frame(1), 0.0)
    assert not ends.connection.check_times(1e9)
    assert ends.said == ["first"]
    assert list(ends.poller.polled) == [descriptor]


def test_what_follows_the_end_of_a_connection_is_not_read(ends: Ends) -> None:
    ends.theirs.sendall(encode_frame(1) + encode_frame(0) + encode_frame(2))
    (on_event,) = ends.poller.polled.values()
    on_event(0, POLL_EVENT_TYPE.READ)
    assert ends.said == [1, "nothing"]


def test_it_is_polled_for_writing_only_while_something_is_to_be_written(ends: Ends) -> None:
    """Else every poll returns at once."""
    (on_event,) = ends.poller.polled.values()
    assert not ends.poller.events & POLL_EVENT_TYPE.WRITE
    ends.connection.send(bytes(1 << 20), 0.0)
    ends.connection.send(b"behind it", 0.0)
    assert ends.poller.events & POLL_EVENT_TYPE.WRITE
    received = bytearray()
    while ends.poller.events & POLL_EVENT_TYPE.WRITE:
        received += ends.theirs.recv(1 << 20)
        on_event(0, POLL_EVENT_TYPE.WRITE)
    ends.theirs.setblocking(False)
    while len(received) < (1 << 20) + len(b"behind it"):
        received += ends.theirs.recv(1 << 20)
    assert received == bytes(1 << 20) + b"behind it"


def test_a_peer_that_resets_ends_the_connection(ends: Ends) -> None:
    (on_event,) = ends.poller.polled.values()
    ends.connection.send(encode_frame(1), 0.0)
    ends.theirs.close()  # with unread bytes: a reset
    on_event(0, POLL_EVENT_TYPE.READ)
    assert ends.connection.state is State.CLOSED
    assert len(ends.said) == 1


def test_a_connection_that_cannot_be_made_is_never_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    poller, said = FakePoller(), list[str]()
    connection = Connection.dial(
        poller,
        address,
        0.0,
        on_open=lambda _connection: said.append("open"),
        on_value=lambda _connection, _value: said.append("a value"),
        on_closed=lambda _connection, reason: said.append(reason),
    )
    if connection is not None:  # or the system said so at once
        (on_event,) = poller.polled.values()
        on_event(0, POLL_EVENT_TYPE.READ | POLL_EVENT_TYPE.WRITE | POLL_EVENT_TYPE.ERROR)
        assert said == ["could not connect"]
    assert not poller.polled
