"""The raft link over real sockets: peers find each other, strangers are cut off, nothing is unpickled."""

import errno
import os
import pickle
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import DEFAULT, Mock

import msgpack
import pytest
from pysyncobj import syncobj as pysyncobj_module
from pysyncobj.node import Node
from pysyncobj.poller import createPoller
from structlog.testing import capture_logs
from support.real_cluster import free_ports

from lastunit_node.replica import connection as connection_module
from lastunit_node.replica import link as link_module
from lastunit_node.replica import timing
from lastunit_node.replica.frames import MAX_FRAME_BYTES, encode_frame
from lastunit_node.replica.hello import OTHER_CLUSTER, OTHER_MEMBERS, OTHER_NODE, STRANGER, Hello
from lastunit_node.replica.link import MAX_STRANGERS, CannotLinkError, RaftLink

MEMBERS = ("n1", "n2", "n3")
ROUNDS = 2_000  # of at most 10 ms, until a condition must hold


class Peer:
    """One link, its poller, and what Raft would have been told."""

    def __init__(
        self,
        name: str,
        ports: dict[str, int],
        cluster_id: str = "c",
        instance: str = "i",
        members: tuple[str, ...] = MEMBERS,
    ) -> None:
        self.connected: list[str] = []
        self.received: list[tuple[str, Any]] = []
        self.poller = createPoller("auto")
        addresses = {peer: ("127.0.0.1", ports[peer]) for peer in members if peer != name}
        self.link = RaftLink(Hello(cluster_id, name, instance, members), ("127.0.0.1", ports[name]), addresses)
        self.link.setOnNodeConnectedCallback(lambda node: self.connected.append(node.id))
        self.link.setOnNodeDisconnectedCallback(lambda node: self.connected.remove(node.id))
        self.link.setOnMessageReceivedCallback(lambda node, message: self.received.append((node.id, message)))
        self.link.start(self.poller)

    def turn(self) -> None:
        self.link.on_tick()
        self.poller.poll(0.01)


@pytest.fixture
def ports() -> dict[str, int]:
    return dict(zip(("n1", "n2", "n3", "n4", "n5"), free_ports(5), strict=True))


@pytest.fixture
def peers(ports: dict[str, int]) -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(name: str, **hello: Any) -> Peer:
        made.append(Peer(name, ports, **hello))
        return made[-1]

    yield make
    for peer in made:
        peer.link.destroy()


def until(condition: Callable[[], bool], *peers: Peer) -> None:
    for _ in range(ROUNDS):
        if condition():
            return
        for peer in peers:
            peer.turn()
    raise AssertionError("it did not happen")


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hello(node: str, cluster_id: str = "c") -> dict[str, Any]:
    return Hello(cluster_id, node, "other", MEMBERS).message()


def nested(message: dict[str, Any], key: str) -> bytes:
    """The frame of a message whose value of this key is too deep for repr, and to be packed."""
    payload: bytes = msgpack.packb(message | {key: "deep"}).replace(msgpack.packb("deep"), b"\x91" * 1_000 + b"\xc0")
    return struct.pack("!I", len(payload)) + payload


def refusals(logs: list[Any], problem: str = "") -> list[Any]:
    """What was logged of peers that were refused, for one reason or any."""
    return [each for each in logs if each["event"] == "refused a peer" and problem in each["problem"]]


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has hung up; what it said before is read and dropped."""
    sock.setblocking(False)
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def test_peers_find_each_other_and_exchange_messages_in_order(peers: Callable[..., Peer]) -> None:
    one, two, three = peers("n1"), peers("n2"), peers("n3")
    until(lambda: all(len(peer.connected) == 2 for peer in (one, two, three)), one, two, three)
    for number in range(100):
        one.link.send(Node("n2"), {"type": "x", "number": number, "entries": [(b"bytes", 1, 2)]})
    until(lambda: len(two.received) == 100, one, two, three)
    expected = [("n1", {"type": "x", "number": n, "entries": ((b"bytes", 1, 2),)}) for n in range(100)]
    assert two.received == expected


@pytest.mark.interpreted
def test_a_message_to_many_is_encoded_once(peers: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = peers("n1"), peers("n2"), peers("n3")
    until(lambda: all(len(peer.connected) == 2 for peer in (one, two, three)), one, two, three)
    encoded: list[Any] = []

    def encode(value: Any) -> bytes:
        encoded.append(value)
        return encode_frame(value)

    monkeypatch.setattr(link_module, "encode_frame", encode)
    messages = [{"number": 1}, {"number": 1}, {"number": 2}]
    for message in messages:
        one.link.send(Node("n2"), message)
        one.link.send(Node("n3"), message)
    until(lambda: len(two.received) == len(three.received) == 3, one, two, three)
    assert encoded == messages
    assert two.received == three.received == [("n1", message) for message in messages]


def test_a_large_message_arrives_whole(peers: Callable[..., Peer]) -> None:
    one, two = peers("n1"), peers("n2")
    until(lambda: one.connected == ["n2"] and two.connected == ["n1"], one, two)
    two.link.send(Node("n1"), {"data": bytes(3 << 20)})
    until(lambda: bool(one.received), one, two)
    assert one.received == [("n2", {"data": bytes(3 << 20)})]


def test_a_peer_that_went_away_is_found_again(peers: Callable[..., Peer]) -> None:
    one, two = peers("n1"), peers("n2")
    until(lambda: one.connected == ["n2"], one, two)
    two.link.destroy()
    until(lambda: one.connected == [], one)
    again = peers("n2")
    until(lambda: one.connected == ["n2"] and again.connected == ["n1"], one, again)


def test_a_peer_that_speaks_of_another_disk_than_in_its_hello_is_cut_off(peers: Callable[..., Peer]) -> None:
    one, two = peers("n1"), peers("n2", instance="disk")
    until(lambda: one.connected == ["n2"] and two.connected == ["n1"], one, two)
    two.link.send(Node("n1"), {"type": "x", "instance": "disk"})
    two.link.send(Node("n1"), {"type": "x", "instance": "former"})
    until(lambda: one.connected == [], one, two)
    assert one.received == [("n2", {"type": "x", "instance": "disk"})]


def test_nothing_is_read_from_a_connection_that_was_replaced(peers: Callable[..., Peer], ports: dict[str, int]) -> None:
    one = peers("n1")
    with socket.create_connection(("127.0.0.1", ports["n1"])) as old:
        old.sendall(encode_frame(hello("n2")))
        until(lambda: one.connected == ["n2"], one)
        with socket.create_connection(("127.0.0.1", ports["n1"])) as new:
            new.sendall(encode_frame(hello("n2")))
            until(lambda: is_closed(old), one)
            assert one.connected == ["n2"]
            new.sendall(encode_frame({"type": "new"}))
            until(lambda: bool(one.received), one)
    assert one.received == [("n2", {"type": "new"})]


@pytest.mark.parametrize(
    "first",
    [
        encode_frame({"type": "append", "term": 9}),
        encode_frame(hello("n2", cluster_id="another")),
        encode_frame(hello("n9")),
        encode_frame(hello("n1")),
        encode_frame(hello("n2") | {"version": 99}),
        encode_frame(hello("n2") | {"instance": 7}),
        encode_frame(hello("n2") | {"node": ["n2"]}),
        encode_frame(hello("n2") | {"node": {"n2": 1}}),
        encode_frame(hello("n2") | {"members": ("n1", "n2", "n3", "n4", "n5")}),
        encode_frame(hello("n2") | {"members": {"n1": {}}}),
        *(nested(hello("n2"), key) for key in ("type", "version", "cluster_id", "node", "instance", "members")),
        encode_frame("readonly"),
        encode_frame(["status"]),
        encode_frame(None),
        struct.pack("!I", 3) + b"\xc1\xc1\xc1",
        struct.pack("!I", MAX_FRAME_BYTES + 1),
        b"GET / HTTP/1.1\r\n\r\n",
        pickle.dumps(["add", "127.0.0.1:1"]),
    ],
)
def test_a_stranger_is_cut_off(
    peers: Callable[..., Peer], ports: dict[str, int], first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda: 0.0)  # not because it fell silent
    one = peers("n1")
    with socket.create_connection(("127.0.0.1", ports["n1"])) as stranger:
        stranger.sendall(first)
        until(lambda: is_closed(stranger), one)
    assert one.connected == []
    assert one.received == []


def test_nodes_whose_cluster_files_name_other_members_do_not_talk(peers: Callable[..., Peer]) -> None:
    """A majority of three and one of five may have no node in common."""
    five = tuple(f"n{number}" for number in range(1, 6))
    with capture_logs() as logs:
        small = [peers(name) for name in ("n1", "n2")]
        large = [peers(name, members=five) for name in ("n3", "n4", "n5")]
        until(lambda: all(len(peer.connected) == 2 for peer in large), *small, *large)
        until(lambda: len({each["here"] for each in refusals(logs, OTHER_MEMBERS)}) == 2, *small, *large)
    assert [peer.connected for peer in small] == [["n2"], ["n1"]]
    assert not any({"n1", "n2"} & {*peer.connected} for peer in large)
    said = {(each["here"], each["there"]) for each in refusals(logs, OTHER_MEMBERS)}
    assert said == {(", ".join(MEMBERS), ", ".join(five)), (", ".join(five), ", ".join(MEMBERS))}


@pytest.mark.parametrize(
    ("first", "refusal"),
    [
        (hello("n3", cluster_id="another"), ("n3", OTHER_CLUSTER, "c", "another")),
        (hello("n3") | {"members": ("n1", "n3")}, ("n3", OTHER_MEMBERS, "n1, n2, n3", "n1, n3")),
        (hello("n1"), ("n1", OTHER_NODE, "a node that dials n2", "n1")),
        (hello("n9"), ("n9", OTHER_NODE, "a node that dials n2", "n9")),
        (hello("n3") | {"version": 1}, ("n3", STRANGER, "hello of version 2", "hello of version 1")),
        ("status", ("None", STRANGER, "hello of version 2", "None of version None")),
    ],
)
def test_who_is_refused_is_logged_once_a_minute_with_what_to_do(
    peers: Callable[..., Peer],
    ports: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    first: object,
    refusal: tuple[str, ...],
) -> None:
    two = peers("n2")
    start = pysyncobj_module.monotonicTime()
    with capture_logs() as logs:
        for later in (0.0, 1.0, timing.REFUSED - 1, timing.REFUSED + 1):
            monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda later=later: start + later)
            with socket.create_connection(("127.0.0.1", ports["n2"])) as stranger:
                stranger.sendall(encode_frame(first))
                until(lambda: is_closed(stranger), two)
    said = refusals(logs)
    assert [(each["peer"], each["problem"], each["here"], each["there"]) for each in said] == [refusal, refusal]
    assert all(each["log_level"] == "warning" and each["advice"] for each in said)


def test_what_is_remembered_of_who_was_refused_is_bounded(peers: Callable[..., Peer], ports: dict[str, int]) -> None:
    one = peers("n1")
    with capture_logs() as logs:
        for number in range(20):
            with socket.create_connection(("127.0.0.1", ports["n1"])) as stranger:
                stranger.sendall(encode_frame(hello(f"x{number}", cluster_id=f"c{number}")))
                until(lambda: is_closed(stranger), one)
    assert len(refusals(logs)) == 1


def test_a_silent_stranger_is_cut_off(
    peers: Callable[..., Peer], ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = peers("n1")
    now = pysyncobj_module.monotonicTime()
    with socket.create_connection(("127.0.0.1", ports["n1"])) as stranger:
        until(lambda: bool(one.link._strangers), one)
        monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda: now + timing.CONNECT_LIMIT + 5)
        until(lambda: is_closed(stranger), one)


def test_a_peer_that_fell_silent_is_cut_off_and_an_idle_one_is_not(
    peers: Callable[..., Peer], ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = peers("n1"), peers("n2")
    with socket.create_connection(("127.0.0.1", ports["n1"])) as silent:
        silent.sendall(encode_frame(hello("n3")))
        until(lambda: one.connected in (["n3", "n2"], ["n2", "n3"]), one, two)
        now = pysyncobj_module.monotonicTime()
        for step in range(1, 6):
            later = now + step * timing.KEEPALIVE
            monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda later=later: later)
            for _ in range(5):
                one.turn()
                two.turn()
        until(lambda: is_closed(silent), one, two)
    assert one.connected == ["n2"]
    assert two.connected == ["n1"]


def test_strangers_are_bounded(peers: Callable[..., Peer], ports: dict[str, int]) -> None:
    one = peers("n1")
    crowd = [socket.create_connection(("127.0.0.1", ports["n1"])) for _ in range(MAX_STRANGERS)]
    try:
        until(lambda: len(one.link._strangers) == MAX_STRANGERS, one)
        with socket.create_connection(("127.0.0.1", ports["n1"])) as last:
            until(lambda: is_closed(last), one)
        assert len(one.link._strangers) == MAX_STRANGERS
    finally:
        for sock in crowd:
            sock.close()


@pytest.mark.interpreted
def test_what_waits_to_be_sent_is_bounded(
    peers: Callable[..., Peer], ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused peer reads nothing: the connection is closed, and Raft starts over when it is back."""
    monkeypatch.setattr(connection_module, "MAX_UNSENT_BYTES", 1 << 20)
    one = peers("n1")
    with socket.create_connection(("127.0.0.1", ports["n1"])) as paused:
        paused.sendall(encode_frame(hello("n2")))
        until(lambda: one.connected == ["n2"], one)
        for _ in range(64):
            one.link.send(Node("n2"), {"data": bytes(1 << 18)})
        assert one.connected == []


def test_a_node_that_has_no_descriptors_left_accepts_later_and_does_not_spin(
    peers: Callable[..., Peer], ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, now, accepts = peers("n1"), pysyncobj_module.monotonicTime(), 0
    really_accept = socket.socket.accept

    def accept(server: socket.socket) -> Any:
        nonlocal accepts
        accepts += 1
        return really_accept(server)

    monkeypatch.setattr(socket.socket, "accept", accept)
    monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda: now)
    with socket.create_connection(("127.0.0.1", ports["n1"])) as two, capture_logs() as logs:
        two.sendall(encode_frame(hello("n2")))
        with no_descriptors():
            for attempt in range(1, 6):
                for _ in range(20):
                    one.turn()
                assert accepts == attempt
                now += timing.CONNECT_RETRY
        until(lambda: one.connected == ["n2"], one)
    said = [each["problem"] for each in logs if each["event"] == "cannot accept a connection"]
    assert said == [os.strerror(errno.EMFILE)]


def test_who_is_gone_before_accept_delays_nobody(peers: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, really_accept = peers("n1"), peers("n2"), socket.socket.accept
    outcome = Mock(side_effect=[ConnectionAbortedError, BlockingIOError, *[DEFAULT] * 99])
    monkeypatch.setattr(socket.socket, "accept", lambda server: really_accept(server) if outcome() else None)
    with capture_logs() as logs:
        until(lambda: one.connected == ["n2"], one, two)
    assert outcome.call_count == 3
    assert "cannot accept a connection" not in {each["event"] for each in logs}


def test_a_node_that_has_no_descriptors_left_dials_later(peers: Callable[..., Peer]) -> None:
    one, two = peers("n1"), peers("n2")
    with no_descriptors():
        for _ in range(20):
            two.turn()
    until(lambda: one.connected == ["n2"] and two.connected == ["n1"], one, two)


def test_raft_may_cut_a_peer_off(peers: Callable[..., Peer]) -> None:
    one, two = peers("n1"), peers("n2")
    until(lambda: one.connected == ["n2"] and two.connected == ["n1"], one, two)
    one.link.disconnect(Node("n2"), "nonsense")
    assert one.connected == []
    until(lambda: one.connected == ["n2"] and two.connected == ["n1"], one, two)


def test_a_taken_address_is_an_error(ports: dict[str, int]) -> None:
    with socket.create_server(("127.0.0.1", ports["n1"])), pytest.raises(CannotLinkError, match="in use"):
        Peer("n1", ports)
