"""Nodes compare their states while running, on the real core in virtual time: who stops, and that nobody else does."""

from collections.abc import Callable
from typing import Any

import pytest
from pysyncobj.node import Node
from structlog.testing import capture_logs
from support.raft_network import STEP, Network

from lastunit_node.replica import timing
from lastunit_node.replica.comparison import PATIENCE
from lastunit_node.replica.divergence import EVERY, MAX_ROUNDS
from lastunit_node.statemachine.errors import InvariantError

MakeNetwork = Callable[[int], Network]

LONG = (PATIENCE + 3) * timing.COMPARE


class Watch:
    """Runs a network in which a node stops by itself; `stopped` holds what each said."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.stopped: dict[str, str] = {}
        for address in network.nodes:
            self.watch(address)

    def watch(self, address: str) -> None:
        """Catch what ends this node."""
        node: Any = self.network.nodes[address]
        node.turn = self._guarded(address, node.turn)
        node.on_message = self._guarded(address, node.on_message)

    def _guarded(self, address: str, method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if address not in self.stopped:
                try:
                    method(*arguments)
                except InvariantError as problem:
                    self.stopped[address] = str(problem)

        return call

    def round(self) -> None:
        """One round; a node that stopped is gone after it."""
        self.network.round()
        for address in self.stopped.keys() & self.network.nodes.keys():
            self.network.kill(address)

    def run(self, seconds: float, load: str = "") -> dict[str, str]:
        """So many virtual seconds, with ten entries a second at node `load`; who stopped, and what they said."""
        for number in range(round(seconds / STEP)):
            if load in self.network.nodes and number % 10 == 0:
                self.network.nodes[load].propose(b"x", None)
            self.round()
        return self.stopped


def start(make_network: MakeNetwork, count: int = 3) -> tuple[Watch, str, list[str]]:
    """A network that has compared once; its leader, its followers."""
    network = make_network(count)
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    return Watch(network), leader, [address for address in network.addresses if address != leader]


def damage(watch: Watch, address: str, mark: bytes = b"!") -> None:
    """From now on this node has other hashes."""
    watch.network.machines[address].digest = mark * 16


def comparing(message: dict[str, Any]) -> bool:
    return message["type"] in {"hash_request", "hash_report", "diverged"}


@pytest.mark.parametrize("count", [3, 5])
def test_healthy_nodes_go_on_under_load_and_idle(make_network: MakeNetwork, count: int) -> None:
    watch, leader, _ = start(make_network, count)
    with capture_logs() as logs:
        assert watch.run(LONG, load=leader) == {}
        assert watch.run(LONG) == {}
    assert watch.network.level()
    assert [log for log in logs if log["log_level"] == "error"] == []


def test_idle_nodes_that_agree_say_nothing(make_network: MakeNetwork) -> None:
    watch, _, _ = start(make_network)
    watch.run(2 * timing.COMPARE)
    watch.network.lose = lambda message: pytest.fail("compared again") if comparing(message) else False
    watch.run(LONG)


def test_a_follower_that_differs_stops_and_names_the_index(make_network: MakeNetwork) -> None:
    watch, leader, (bad, good) = start(make_network)
    damage(watch, bad)
    assert watch.network.commit(leader, [b"b"])
    watch.run(2 * timing.COMPARE)
    assert list(watch.stopped) == [bad]
    own, right = watch.network.machines[bad].hash_at(3), watch.network.machines[good].hash_at(3)
    assert own is not None
    assert right is not None
    said = watch.stopped[bad]
    assert said.startswith("at index 3 this node's state is not the majority's")
    assert own.digest.hex() in said
    assert right.digest.hex() in said
    assert len(watch.network.commit(leader, [b"c"])) == 1
    assert list(watch.run(LONG)) == [bad]


def test_under_load_a_node_that_differs_is_found_before_the_second_is_over(make_network: MakeNetwork) -> None:
    watch, leader, (bad, _) = start(make_network)
    watch.run(timing.COMPARE / 2, load=leader)
    damage(watch, bad)
    for _ in range(2 * EVERY):
        watch.network.nodes[leader].propose(b"x", None)
    assert list(watch.run(timing.COMPARE / 5)) == [bad]


def test_a_leader_that_differs_stops_and_the_others_go_on(make_network: MakeNetwork) -> None:
    watch, leader, _ = start(make_network)
    damage(watch, leader)
    watch.network.nodes[leader].propose(b"b", None)
    assert list(watch.run(LONG)) == [leader]
    new = watch.network.elect(excluding=leader)
    watch.network.commit(new, [b"c"])
    assert list(watch.run(LONG)) == [leader]


def test_two_of_five_that_differ_from_the_rest_and_from_each_other_stop(make_network: MakeNetwork) -> None:
    watch, leader, (one, other, *_) = start(make_network, 5)
    damage(watch, one, b"1")
    damage(watch, other, b"2")
    assert set(watch.run(LONG, load=leader)) == {one, other}


def test_a_node_that_comes_back_is_compared_too(make_network: MakeNetwork) -> None:
    watch, leader, (bad, _) = start(make_network)
    watch.network.isolate(bad)
    damage(watch, bad)
    assert watch.run(LONG, load=leader) == {}
    watch.network.heal()
    assert list(watch.run(LONG)) == [bad]


def test_a_new_leader_finds_it_as_well(make_network: MakeNetwork) -> None:
    watch, leader, (bad, other) = start(make_network)
    watch.network.lose = comparing
    damage(watch, bad)
    watch.network.commit(leader, [b"b"])
    watch.network.nodes[leader].begin_transfer(Node(other))
    watch.network.run_until(lambda: watch.network.leader() == other)
    watch.network.lose = lambda _message: False
    assert list(watch.run(LONG)) == [bad]


def test_lost_messages_are_made_up_for(make_network: MakeNetwork) -> None:
    watch, leader, (bad, _) = start(make_network)
    damage(watch, bad)
    for lost in ("hash_request", "hash_report", "diverged"):
        watch.network.lose = lambda message, lost=lost: bool(message["type"] == lost)  # type: ignore[misc]
        assert watch.run(LONG, load=leader) == {}
    watch.network.lose = lambda _message: False
    assert list(watch.run(2 * timing.COMPARE)) == [bad]


def test_without_a_majority_all_who_contradict_each_other_stop_in_the_end(make_network: MakeNetwork) -> None:
    watch, leader, (bad, dead) = start(make_network)
    watch.network.kill(dead)
    damage(watch, bad)
    watch.network.nodes[leader].propose(b"b", None)
    assert watch.run((PATIENCE - 1) * timing.COMPARE) == {}
    watch.run(3 * timing.COMPARE)
    assert set(watch.stopped) == {leader, bad}
    for said in watch.stopped.values():
        assert said.startswith("at index 3 this node's state is not another node's, and neither has a majority")


def test_two_against_two_of_five_stop_each_other(make_network: MakeNetwork) -> None:
    """Those who agree with the leader, too: the fifth might be on the side of the others."""
    watch, leader, (with_leader, one, other, dead) = start(make_network, 5)
    watch.network.kill(dead)
    damage(watch, one)
    damage(watch, other)
    watch.network.nodes[leader].propose(b"b", None)
    assert set(watch.run((PATIENCE + 2) * timing.COMPARE)) == {leader, with_leader, one, other}


def test_a_third_node_that_comes_in_time_decides(make_network: MakeNetwork) -> None:
    watch, leader, (bad, dead) = start(make_network)
    machine = watch.network.kill(dead)
    damage(watch, bad)
    assert watch.run(2 * timing.COMPARE, load=leader) == {}
    watch.network.start(dead, machine)
    watch.watch(dead)
    assert list(watch.run(LONG, load=leader)) == [bad]


def test_three_different_states_stop_all(make_network: MakeNetwork) -> None:
    watch, leader, (one, other) = start(make_network)
    damage(watch, one, b"1")
    damage(watch, other, b"2")
    watch.network.nodes[leader].propose(b"b", None)
    assert set(watch.run(2 * LONG)) == {leader, one, other}


def test_restarts_and_replays_stop_nobody(make_network: MakeNetwork) -> None:
    """A node comes back with an older state, replays, and reports the same hashes again; leaders come and go."""
    watch, _, _ = start(make_network)
    network = watch.network
    for number in range(12):
        address = network.addresses[number % 3]
        machine = network.kill(address)
        del machine.applied[len(machine.applied) * number // 12 :]
        watch.run(timing.COMPARE / 3, load=network.leader() or "")
        network.start(address, machine)
        watch.watch(address)
        watch.run(timing.COMPARE * 2 / 3, load=network.leader() or "")
    network.elect()
    assert watch.run(LONG) == {}
    assert network.level()


def record(network: Network) -> list[tuple[str, str, dict[str, Any]]]:
    """Every message about hashes from now on, lost ones too: sender, receiver, message."""
    heard: list[tuple[str, str, dict[str, Any]]] = []
    deliver = network.deliver

    def recording() -> None:
        heard.extend(entry for entry in network.queue if comparing(entry[2]))
        deliver()

    network.deliver = recording  # type: ignore[method-assign]
    return heard


def test_messages_that_come_twice_and_late_stop_nobody(make_network: MakeNetwork) -> None:
    """A follower differed and was mended before it heard of it; then all that was said is said again, and again."""
    watch, leader, (bad, _) = start(make_network)
    network = watch.network
    heard = record(network)
    network.lose = lambda message: bool(message["type"] == "diverged")
    damage(watch, bad)
    watch.run(2 * timing.COMPARE, load=leader)
    assert {message["type"] for _, _, message in heard} == {"hash_request", "hash_report", "diverged"}
    network.machines[bad].digest = bytes(16)
    network.lose = lambda _message: False
    for _ in range(2):
        network.queue.extend(heard)
        watch.round()
    assert watch.run(LONG, load=leader) == {}


@pytest.mark.parametrize(
    ("sender", "fields"),
    [
        ("leader", {"term": -1}),
        ("leader", {"index": 1_000}),
        ("other follower", {}),
    ],
)
def test_only_this_terms_leader_can_say_that_a_node_differs(
    make_network: MakeNetwork, sender: str, fields: dict[str, int]
) -> None:
    watch, leader, (follower, other) = start(make_network)
    node = watch.network.nodes[follower]
    said = {"type": "diverged", "index": 2, "chain": bytes(16), "digest": bytes(16), "majority": True, **fields}
    message = {**said, "term": node.term + fields.get("term", 0)}
    node.on_message(Node(leader if sender == "leader" else other), message)
    assert watch.stopped == {}
    node.on_message(Node(leader), message | {"term": node.term, "index": 2})
    assert list(watch.stopped) == [follower]


def test_a_node_answers_once_it_has_applied_what_it_was_asked_for(make_network: MakeNetwork) -> None:
    watch, leader, (follower, _) = start(make_network)
    node = watch.network.nodes[follower]
    heard = record(watch.network)
    for _ in range(2):
        node.on_message(Node(leader), {"type": "hash_request", "term": node.term, "index": 3})
    watch.run(0.1)
    assert heard == []
    watch.network.lose = lambda message: bool(message["type"] == "hash_request")
    watch.network.commit(leader, [b"b"])
    watch.run(0.1)
    reports = [message for sender, _, message in heard if message["type"] == "hash_report" and sender == follower]
    assert [report["index"] for report in reports] == [3]


def test_a_node_whose_leader_is_gone_answers_nobody(make_network: MakeNetwork) -> None:
    """It applies what is committed all the same, and was asked about it."""
    watch, leader, (follower, _) = start(make_network)
    node = watch.network.nodes[follower]
    node.on_message(Node(leader), {"type": "hash_request", "term": node.term, "index": node.last_applied})
    node.become_follower(None)
    watch.network.queue.clear()
    node.turn(0.0)
    assert not watch.network.queue


def test_a_leader_forgets_what_it_heard_in_an_earlier_term(make_network: MakeNetwork) -> None:
    """A follower differed, and was mended while another node led; nothing new is heard of it."""
    watch, leader, (bad, good) = start(make_network)
    network = watch.network
    network.isolate(good)
    damage(watch, bad)
    network.commit(leader, [b"b"])
    watch.run(1.5 * timing.COMPARE)
    network.lose = comparing
    network.heal()
    network.run_until(network.level)
    network.machines[bad].digest = bytes(16)
    for before, after in ((leader, good), (good, leader)):
        network.nodes[before].begin_transfer(Node(after))
        network.run_until(lambda after=after: network.leader() == after)  # type: ignore[misc]
    assert watch.run(2 * LONG, load=leader) == {}


def test_what_a_node_is_asked_is_bounded(make_network: MakeNetwork) -> None:
    watch, leader, (follower, _) = start(make_network)
    node = watch.network.nodes[follower]
    for index in range(1_000, 1_000 + 3 * MAX_ROUNDS):
        for _ in range(2):
            node.on_message(Node(leader), {"type": "hash_request", "term": node.term, "index": index})
    assert len(node._comparison._asked) == MAX_ROUNDS


def test_a_node_that_has_forgotten_the_hash_does_not_answer(make_network: MakeNetwork) -> None:
    watch, leader, (follower, _) = start(make_network)
    watch.network.nodes[follower]._comparison._hash_at = lambda _index: None
    assert watch.run(LONG, load=leader) == {}
