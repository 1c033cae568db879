"""What a follower takes of what a leader sends, and what it answers."""

from collections.abc import Callable
from typing import Any

import pytest
from pysyncobj.node import Node
from support.raft_network import Network

from lastunit_node.replica import timing
from lastunit_node.replica.raft import Raft
from lastunit_node.replica.syncobj import FOLLOWER
from lastunit_node.statemachine.errors import InvariantError

MakeNetwork = Callable[[int], Network]


def level(network: Network, entries: int) -> tuple[Raft, Raft]:
    """A leader, and a follower that has the same entries."""
    leader = network.elect()
    network.commit(leader, [b"%d" % number for number in range(entries)])
    network.run_until(network.level)
    network.queue.clear()
    return network.nodes[leader], network.nodes[next(name for name in network.addresses if name != leader)]


def append(leader: Raft, **fields: Any) -> dict[str, Any]:
    message = {"type": "append", "term": leader.term, "prev_index": 0, "prev_term": 0, "entries": [], "acked": None}
    return message | {"commit_index": 0, "log_start": 0} | fields


def test_an_append_of_an_old_term_changes_nothing_and_its_sender_is_told_the_newer_one(
    make_network: MakeNetwork,
) -> None:
    """Or a node that has a newer term, and whom nobody lets stand, would never follow again."""
    network = make_network(3)
    leader, follower = level(network, entries=1)
    follower.set_term(follower.term + 1, None)
    last = follower.journal.last_index
    leader.propose(b"a", None)
    network.run_until(lambda: leader.role == FOLLOWER, seconds=0.1)
    assert leader.term == follower.term
    assert follower.journal.last_index == last


def test_an_append_that_begins_before_what_is_kept_here_is_taken(make_network: MakeNetwork) -> None:
    """The leader may keep more; what was forgotten here is committed, and the same there."""
    network = make_network(3)
    leader, follower = level(network, entries=10)
    leader.propose(b"new", None)
    leader.turn(0.0)
    follower.journal.trim(6, 100)
    entries = leader.journal.entries(3, leader.journal.last_index + 1)
    message = append(leader, prev_index=2, prev_term=leader.journal.term_at(2), entries=entries)
    follower.on_message(Node(leader.selfNode.id), message)
    assert follower.journal.entries(0, 99) == leader.journal.entries(6, 99)


def test_a_leader_whose_log_starts_with_another_entry_than_this_one_stops_the_node(make_network: MakeNetwork) -> None:
    leader, follower = level(make_network(3), entries=10)
    follower.journal.trim(6, 100)
    message = append(leader, log_start=6, prev_index=2, prev_term=leader.term + 1)
    with pytest.raises(
        InvariantError, match=r"differs at index 6.*acknowledged has been overwritten.*Do not rejoin this node"
    ):
        follower.on_message(Node(leader.selfNode.id), message)


def test_an_acknowledgement_to_a_node_that_never_led_changes_nothing(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader, follower = level(network, entries=1)
    last = follower.journal.last_index
    answer = {"type": "append_response", "term": follower.term, "prev_index": last, "success": True, "last": last}
    network.say(leader.selfNode.id, follower.selfNode.id, answer)
    assert (follower.role, follower.leader, follower.journal.last_index) == (FOLLOWER, leader.selfNode, last)


def test_what_a_poll_brings_is_answered_before_the_turn_ends(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader, follower = level(network, entries=1)
    name = leader.selfNode
    follower.poller.poll = lambda _timeout: follower.on_message(name, append(leader))
    follower.turn(0.0)
    assert [message["type"] for _, _, message in network.queue] == ["append_response"]


def test_a_hint_is_never_below_what_is_committed_here(make_network: MakeNetwork) -> None:
    """All entries here are of one term: the search for another one ends at the commit index, not at the beginning."""
    network = make_network(3)
    leader, follower = level(network, entries=5)
    last, term = follower.journal.last_index, follower.term
    assert follower.commit_index == last
    for index in (last + 1, last + 2):
        follower.journal.add(b"not committed", index, term)
    newer = append(leader, term=term + 1, prev_index=last + 2, prev_term=term + 1)
    follower.on_message(Node(leader.selfNode.id), newer)
    follower.on_message(Node(leader.selfNode.id), newer | {"prev_index": 1, "prev_term": term, "log_start": 1})
    follower._follower.flush()
    answers = [message for _, _, message in network.queue if message["type"] == "append_response"]
    assert [(answer["success"], answer["last"]) for answer in answers] == [(False, last)] * 2


def test_a_follower_that_has_not_heard_of_its_leader_for_long_has_no_quorum(make_network: MakeNetwork) -> None:
    """The connection stands, and nothing comes: the leader's process may have been stopped."""
    network = make_network(3)
    leader, follower = level(network, entries=1)
    follower.on_message(Node(leader.selfNode.id), append(leader))
    network.time.now += timing.STEP_DOWN - 0.01
    assert follower.has_quorum
    network.time.now += 0.02
    assert follower.leader == leader.selfNode
    assert not follower.has_quorum
