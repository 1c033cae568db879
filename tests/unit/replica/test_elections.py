"""What elections ask, grant and refuse, message by message; whole elections are in test_leadership.py."""

from collections.abc import Callable

import pytest
from support.disks import stand, vote
from support.raft_network import Network

from lastunit_node.replica import timing
from lastunit_node.replica.syncobj import CANDIDATE, LEADER

MakeNetwork = Callable[[int], Network]


def test_a_vote_for_an_election_that_is_over_is_refused(make_network: MakeNetwork) -> None:
    """It would be one for the present term, given to a log as it was in an earlier one."""
    network = make_network(3)
    voter, candidate, _ = network.addresses
    node = network.nodes[voter]
    node.set_term(5, None)
    request = {"type": "request_vote", "term": 4, "last_log_index": 9, "last_log_term": 3}
    network.say(candidate, voter, request)
    answer = network.queue.pop()[2]
    assert (answer["granted"], answer["term"]) == (False, 5), "the candidate is to learn the newer term"
    assert (node.term, node.voted_for) == (5, None)
    network.say(candidate, voter, request | {"term": 5})
    assert network.queue.pop()[2]["granted"]


def test_a_leader_asks_nobody_for_votes(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    sent: list[str] = []
    network.transports[leader].on_send = lambda message: sent.append(message["type"])
    end = network.time.now + 2 * timing.ELECTION_MAX
    network.run_until(lambda: network.time.now > end)
    assert set(sent) == {"append", "hash_request"}


def test_who_stood_in_vain_asks_before_it_stands_again(make_network: MakeNetwork) -> None:
    """Or it would unseat whoever was elected meanwhile."""
    network = make_network(3)
    node = network.nodes[network.addresses[0]]
    network.time.now += timing.ELECTION_MIN / 2
    node.stand()
    node.turn(0.0)
    assert (node.role, node.term) == (CANDIDATE, 1)
    network.queue.clear()
    for _ in range(3):
        network.time.now += timing.ELECTION_MAX + 0.01
        asks = {"type": "pre_vote", "term": 1, "round": 1, "last_log_index": 9, "last_log_term": 1}
        network.say(network.addresses[1], network.addresses[0], asks)
        assert network.queue.pop()[2]["granted"]
        node.turn(0.0)
        assert not network.queue, "it waits for the other one to stand"
        network.time.now += timing.PROMISE
        node.turn(0.0)
        assert {message["type"] for _, _, message in network.queue} == {"pre_vote"}
        network.queue.clear()
    assert node.term == 1


def test_votes_of_an_earlier_term_count_no_more(make_network: MakeNetwork) -> None:
    network = make_network(5)
    candidate, first, second, third, _ = network.addresses
    node = network.nodes[candidate]
    stand(network, candidate)
    vote(network, first, candidate)
    stand(network, candidate)
    vote(network, second, candidate)
    assert node.role == CANDIDATE, "two of five: itself and the second"
    vote(network, third, candidate)
    assert node.role == LEADER


def test_who_votes_for_another_waits_a_full_timeout_before_it_asks(make_network: MakeNetwork) -> None:
    network = make_network(3)
    candidate, voter, _ = network.addresses
    node = network.nodes[voter]
    network.time.now += timing.ELECTION_MIN  # its own timeout is nearly over
    request = {"type": "request_vote", "term": 1, "last_log_index": 0, "last_log_term": 0}
    network.say(candidate, voter, request)
    assert network.queue.pop()[2]["granted"]
    network.time.now += timing.ELECTION_MIN - 0.01
    node.turn(0.0)
    assert not network.queue
    network.time.now += timing.ELECTION_MAX - timing.ELECTION_MIN + 0.02
    node.turn(0.0)
    assert {message["type"] for _, _, message in network.queue} == {"pre_vote"}


def test_grants_that_come_when_it_stands_already_do_not_let_it_stand_again(make_network: MakeNetwork) -> None:
    """It would unseat itself: the votes of its first term were on their way."""
    network = make_network(5)
    candidate, *peers = network.addresses
    node = network.nodes[candidate]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    (number,) = {message["round"] for _, _, message in network.queue if message["type"] == "pre_vote"}
    grant = {"type": "pre_vote_response", "term": 0, "round": number, "granted": True}
    for peer in peers[:2]:
        network.say(peer, candidate, grant)
    node.turn(0.0)
    assert (node.role, node.term) == (CANDIDATE, 1)
    for peer in peers[2:]:
        network.say(peer, candidate, grant)
        node.turn(0.0)
    assert (node.role, node.term) == (CANDIDATE, 1)


@pytest.mark.parametrize(
    ("from_leader", "terms_late", "stands"), [(True, 0, True), (True, 1, False), (False, 0, False)]
)
def test_a_node_stands_at_the_word_of_its_present_leader_only(
    make_network: MakeNetwork, from_leader: bool, terms_late: int, stands: bool
) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    told, other = (name for name in network.addresses if name != leader)
    node = network.nodes[told]
    network.say(leader if from_leader else other, told, {"type": "timeout_now", "term": node.term - terms_late})
    assert node.told_to_stand is stands
    node.turn(0.0)
    assert (node.role == CANDIDATE) is stands
