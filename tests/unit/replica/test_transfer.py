"""Handing leadership over; how it goes under load is in test_leadership.py."""

from collections.abc import Callable
from typing import Any

from pysyncobj.node import Node
from support.raft_network import Network

from lastunit_node.replica import timing
from lastunit_node.replica.syncobj import CANDIDATE

MakeNetwork = Callable[[int], Network]


def test_a_target_that_lacks_entries_is_told_to_stand_when_it_has_them(make_network: MakeNetwork) -> None:
    """Its log would be shorter than the others', and nobody would vote for it, nor take orders meanwhile."""
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    target = next(name for name in network.addresses if name != leader)
    network.lose = lambda message: message["type"] == "append" and bool(message["entries"])
    network.nodes[leader].propose(b"a", None)
    network.round()
    sent: list[dict[str, Any]] = []
    network.transports[leader].on_send = sent.append
    network.nodes[leader].begin_transfer(Node(target))
    begun = network.time.now
    network.run_until(lambda: network.time.now > begun + timing.TRANSFER / 2)
    assert "timeout_now" not in {message["type"] for message in sent}
    network.lose = lambda _message: False
    assert network.elect(excluding=leader) == target
    assert network.time.now < begun + timing.TRANSFER
    assert b"a" in [entry for _, _, entry in network.machines[target].applied]


def test_what_the_leader_sends_meanwhile_does_not_keep_its_successor_from_standing(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    target = next(name for name in network.addresses if name != leader)
    term = network.nodes[leader].term
    network.say(leader, target, {"type": "timeout_now", "term": term})
    heartbeat = {"prev_index": 0, "prev_term": 0, "entries": [], "commit_index": 0, "log_start": 0, "acked": None}
    network.say(leader, target, heartbeat | {"type": "append", "term": term})
    network.nodes[target].turn(0.0)
    assert (network.nodes[target].role, network.nodes[target].term) == (CANDIDATE, term + 1)


def test_a_leader_without_connections_hands_over_to_nobody(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    network.isolate(leader)
    assert network.nodes[leader].begin_transfer(None) is None
    assert network.nodes[leader].may_take_proposals()
