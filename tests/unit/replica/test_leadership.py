"""Who leads: votes, terms, stepping down, handing over; on the real core in virtual time."""

from collections.abc import Callable

import pytest
from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node
from support.raft_network import Network

from lastunit_node.replica import timing
from lastunit_node.replica.syncobj import FOLLOWER, LEADER

MakeNetwork = Callable[[int], Network]


def others(network: Network, address: str) -> list[str]:
    return [peer for peer in network.addresses if peer != address]


def test_one_vote_counts_once(make_network: MakeNetwork) -> None:
    network = make_network(5)
    candidate = network.addresses[0]
    node = network.nodes[candidate]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    vote = {"type": "response_vote", "term": node.term, "granted": True}
    for _ in range(5):
        node.on_message(Node(network.addresses[1]), vote)
    assert node.role != LEADER, "one voter is not a majority of five, however often its vote arrives"
    node.on_message(Node(network.addresses[2]), vote)
    assert node.role == LEADER


def test_a_refused_or_late_vote_does_not_count(make_network: MakeNetwork) -> None:
    network = make_network(3)
    node = network.nodes[network.addresses[0]]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    for vote in ({"term": node.term, "granted": False}, {"term": node.term - 1, "granted": True}):
        node.on_message(Node(network.addresses[1]), {"type": "response_vote"} | vote)
    assert node.role != LEADER


def test_a_vote_is_given_once_a_term_also_across_a_restart(make_network: MakeNetwork) -> None:
    network = make_network(3)
    voter, first, second = network.addresses
    request = {"type": "request_vote", "term": 9, "last_log_index": 0, "last_log_term": 0}

    def answer_to(candidate: str) -> bool:
        network.nodes[voter].on_message(Node(candidate), request)
        return bool(network.queue.pop()[2]["granted"])

    assert answer_to(first)
    network.start(voter, network.kill(voter))
    assert not answer_to(second)
    assert answer_to(first), "the same candidate may hear its vote again"


def test_no_vote_for_a_shorter_log(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    node = network.nodes[leader]
    for last_log_index, last_log_term in ((1, 1), (9, 0)):
        request = {"term": 9, "last_log_index": last_log_index, "last_log_term": last_log_term}
        node.on_message(Node(others(network, leader)[0]), {"type": "request_vote"} | request)
        assert not network.queue.pop()[2]["granted"]


def test_a_stale_leader_is_told_the_newer_term_and_steps_down(make_network: MakeNetwork) -> None:
    network = make_network(3)
    old = network.elect()
    network.isolate(old)
    network.elect(excluding=old)
    network.nodes[old]._SyncObj__lastResponseTime.update(dict.fromkeys(network.nodes[old].peers, 1e9))
    assert network.nodes[old].role == LEADER
    network.heal()
    network.run_until(lambda: network.nodes[old].role == FOLLOWER, seconds=0.5)
    assert len({node.term for node in network.nodes.values()}) == 1


def test_an_isolated_leader_steps_down_within_two_election_timeouts(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.isolate(leader)
    node = network.nodes[leader]
    assert network.run_until(lambda: node.role != LEADER) <= timing.STEP_DOWN + 0.1
    assert not node.has_quorum


@pytest.mark.parametrize("named", [True, False])
def test_leadership_is_handed_over_under_load(make_network: MakeNetwork, named: bool) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    target = Node(others(network, leader)[1]) if named else None
    reasons: list[int] = []

    def load() -> bool:
        if network.nodes[leader].role == LEADER:
            network.nodes[leader].propose(b"x", lambda _applied, reason: reasons.append(reason))
        return network.leader() not in (None, leader)

    network.round()
    load()
    chosen = network.nodes[leader].begin_transfer(target)
    assert chosen is not None
    assert network.run_until(load, seconds=timing.TRANSFER) < timing.ELECTION_MIN
    assert network.leader() == chosen.id


def test_a_transfer_that_fails_lets_the_leader_go_on(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    target = others(network, leader)[0]
    network.lose = lambda message: bool(message["type"] == "timeout_now")
    assert network.nodes[leader].begin_transfer(Node(target)) is not None
    assert network.commit(leader, [b"a"]) == [FAIL_REASON.SUCCESS]
    assert network.leader() == leader


def test_a_follower_cannot_hand_leadership_over(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    assert network.nodes[others(network, leader)[0]].begin_transfer(None) is None
