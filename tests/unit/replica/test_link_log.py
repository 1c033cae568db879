"""What the raft link logs of its peers, however often they come and go."""

import socket
from collections.abc import Callable

import pytest
from pysyncobj import syncobj as pysyncobj_module
from pysyncobj.node import Node
from pysyncobj.poller import createPoller
from structlog.testing import capture_logs
from support.real_cluster import free_ports

from lastunit_node.replica import timing
from lastunit_node.replica.frames import encode_frame
from lastunit_node.replica.hello import Hello
from lastunit_node.replica.link import RaftLink

ROUNDS = 2_000  # of at most 10 ms, until a condition must hold
MEMBERS = ("n1", "n2", "n3")


def test_a_connection_that_closes_again_and_again_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ten times a second between two nodes whose raft addresses were exchanged."""
    port, *others = free_ports(3)
    addresses = {name: ("127.0.0.1", other) for name, other in zip(("n1", "n3"), others, strict=True)}
    link = RaftLink(Hello("c", "n2", "i", MEMBERS), ("127.0.0.1", port), addresses)
    connected: list[Node] = []
    link.setOnNodeConnectedCallback(connected.append)
    link.setOnNodeDisconnectedCallback(connected.remove)
    poller = createPoller("auto")
    link.start(poller)

    def until(condition: Callable[[], bool]) -> None:
        for _ in range(ROUNDS):
            if condition():
                return
            link.on_tick()
            poller.poll(0.01)
        raise AssertionError("it did not happen")

    start = pysyncobj_module.monotonicTime()
    with capture_logs() as logs:
        for later in (0.0, 1.0, timing.REFUSED - 1, timing.REFUSED + 1):
            monkeypatch.setattr(pysyncobj_module, "monotonicTime", lambda later=later: start + later)
            with socket.create_connection(("127.0.0.1", port)) as three:
                three.sendall(encode_frame(Hello("c", "n3", "other", MEMBERS).message()))
                until(lambda: bool(connected))
            until(lambda: not connected)
    link.destroy()
    assert [(each["event"], each["peer"]) for each in logs] == [("connection to a peer closed", "n3")] * 2
