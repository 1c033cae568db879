"""Proposals that travel from a follower to the leader: how they end."""

from collections.abc import Callable
from typing import Any

import pytest
from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node
from support.raft_network import Network

from lastunit_node.replica.raft import Raft
from lastunit_node.statemachine.limits import MAX_ENTRY_BYTES

MakeNetwork = Callable[[int], Network]


def forwarded(network: Network) -> tuple[Raft, dict[str, Any], list[int]]:
    """A follower that has forwarded a proposal, the message, and what will be said of the outcome."""
    leader = network.elect()
    network.run_until(network.level)
    follower = network.nodes[next(name for name in network.addresses if name != leader)]
    reasons: list[int] = []
    follower.propose(b"a", lambda _applied, reason: reasons.append(reason))
    network.queue.clear()
    follower.turn(0.0)
    (message,) = [message for _, _, message in network.queue if message["type"] == "apply_command"]
    return follower, message, reasons


@pytest.mark.parametrize("size", [MAX_ENTRY_BYTES, MAX_ENTRY_BYTES + 1])
def test_an_entry_over_the_bound_does_not_reach_the_log(make_network: MakeNetwork, size: int) -> None:
    network = make_network(3)
    follower, message, _ = forwarded(network)
    leader = network.nodes[str(network.leader())]
    before = leader.journal.last_index
    leader.on_message(follower.selfNode, message | {"command": bytes(size)})
    leader.turn(0.0)
    is_taken = size <= MAX_ENTRY_BYTES
    assert leader.journal.last_index == before + is_taken
    cut_off = [name for name, _ in network.transports[leader.selfNode.id].disconnected]
    assert cut_off == ([] if is_taken else [follower.selfNode.id])


def test_one_whose_place_comes_when_that_was_applied_has_an_unknown_outcome(make_network: MakeNetwork) -> None:
    """Its result went by: to wait for it would be to wait for ever."""
    network = make_network(3)
    follower, message, reasons = forwarded(network)
    answer = {"type": "apply_command_response", "request_id": message["request_id"], "error": FAIL_REASON.SUCCESS}
    place = {"log_idx": follower.last_applied, "log_term": follower.term}
    follower.on_message(Node(str(follower.leader)), answer | place)
    assert reasons == [FAIL_REASON.UNKNOWN_OUTCOME]


@pytest.mark.parametrize(
    "refusal", [{"error": FAIL_REASON.QUEUE_FULL}, {"log_idx": 99}, {"log_term": 1}, {"log_idx": 99, "log_term": "1"}]
)
def test_one_that_the_leader_refused_has_an_outcome_that_is_not_definite(
    make_network: MakeNetwork, refusal: dict[str, Any]
) -> None:
    """A twin of it may have got through, on a connection that was replaced."""
    network = make_network(3)
    follower, message, reasons = forwarded(network)
    answer = {"type": "apply_command_response", "request_id": message["request_id"]}
    follower.on_message(Node(str(follower.leader)), answer | refusal)
    assert reasons == [FAIL_REASON.NOT_LEADER]


def test_one_that_was_sent_to_a_leader_of_the_past_ends_when_there_is_another(make_network: MakeNetwork) -> None:
    network = make_network(3)
    follower, _, reasons = forwarded(network)
    other = next(name for name in network.addresses if name not in (follower.selfNode.id, str(follower.leader)))
    heartbeat = {"prev_index": 0, "prev_term": 0, "entries": [], "commit_index": 0, "log_start": 0, "acked": None}
    network.say(other, follower.selfNode.id, heartbeat | {"type": "append", "term": follower.term + 1})
    assert reasons == [FAIL_REASON.LEADER_CHANGED]


def test_one_is_not_given_up_because_of_a_connection_to_somebody_else(make_network: MakeNetwork) -> None:
    network = make_network(3)
    follower, _, reasons = forwarded(network)
    other = next(name for name in network.addresses if name not in (follower.selfNode.id, str(follower.leader)))
    for is_connected in (False, True):
        network.transports[follower.selfNode.id].connected(other, is_connected)
    network.run_until(lambda: bool(reasons))
    assert reasons == [FAIL_REASON.SUCCESS]


@pytest.mark.parametrize("place", [{}, {"log_idx": 1, "log_term": 1}, {"log_idx": 2, "log_term": 1}])
def test_an_answer_that_nobody_waits_for_any_more_says_nothing(
    make_network: MakeNetwork, place: dict[str, int]
) -> None:
    network = make_network(3)
    follower, message, reasons = forwarded(network)
    assert follower.last_applied == 1
    follower.fail_forwarded()
    answer = {"type": "apply_command_response", "request_id": message["request_id"]}
    follower.on_message(Node(str(follower.leader)), answer | place)
    network.commit(str(network.leader()), [b"b"])
    network.run_until(network.level)
    assert reasons == [FAIL_REASON.LEADER_CHANGED]


def test_one_whose_place_an_entry_of_an_earlier_term_took_is_discarded(make_network: MakeNetwork) -> None:
    """The leader that had added it died, and the next one had its own log there: no term says which is older."""
    network = make_network(3)
    follower, message, reasons = forwarded(network)
    answer = {"type": "apply_command_response", "request_id": message["request_id"], "error": FAIL_REASON.SUCCESS}
    place = {"log_idx": follower.last_applied + 1, "log_term": follower.term + 2}
    follower.on_message(Node(str(follower.leader)), answer | place)
    network.queue.clear()  # the proposal itself, too
    network.commit(str(network.leader()), [b"instead"])
    network.run_until(network.level)
    assert network.machines[follower.selfNode.id].applied[-1] == (place["log_idx"], follower.term, b"instead")
    assert reasons == [FAIL_REASON.DISCARDED]
