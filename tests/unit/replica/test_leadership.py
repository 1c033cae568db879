"""Who leads: votes, terms, stepping down, handing over; on the real core in virtual time."""

from collections.abc import Callable
from typing import Any

import pytest
from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node
from support.raft_network import Network

from lastunit_node.replica import timing
from lastunit_node.replica.messages import MAX_LEAP
from lastunit_node.replica.syncobj import CANDIDATE, FOLLOWER, LEADER

MakeNetwork = Callable[[int], Network]


def others(network: Network, address: str) -> list[str]:
    return [peer for peer in network.addresses if peer != address]


def let_stand(network: Network, address: str) -> None:
    """Make a node miss its leader, and grant it every pre-vote it asks for: it stands, and nobody has voted yet."""
    node = network.nodes[address]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    asked = [message for sender, _, message in network.queue if sender == address and message["type"] == "pre_vote"]
    for peer, message in zip(others(network, address), asked, strict=True):
        grant = {"type": "pre_vote_response", "term": node.term, "round": message["round"], "granted": True}
        network.say(peer, address, grant)
    node.turn(0.0)
    assert node.role == CANDIDATE


def about_to_be_granted(network: Network, address: str) -> dict[str, Any]:
    """Make a node miss its leader and ask; the grant that would let it stand."""
    node = network.nodes[address]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    return {"type": "pre_vote_response", "term": node.term, "round": node._elections._round, "granted": True}


def ask_pre_vote(network: Network, voter: str, asker: str, **fields: int) -> bool:
    """A voter's answer to a pre-vote that only `fields` could make it refuse."""
    journal, term = network.nodes[voter].journal, network.nodes[voter].term
    message = {"term": term, "round": 1, "last_log_index": journal.last_index, "last_log_term": journal.last_term}
    network.say(asker, voter, {"type": "pre_vote"} | message | fields)
    return bool(network.queue.pop()[2]["granted"])


def test_a_node_that_returns_does_not_unseat_a_healthy_leader(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    cut_off = others(network, leader)[0]
    network.isolate(cut_off)
    end = network.time.now + 20 * timing.ELECTION_MAX
    network.run_until(lambda: network.time.now > end, seconds=60.0)
    network.commit(leader, [b"meanwhile"])
    term = network.nodes[leader].term
    assert network.nodes[cut_off].term == term, "it asked, and nobody let it stand"
    network.heal()
    network.run_until(network.level)
    end = network.time.now + 2 * timing.ELECTION_MAX
    network.run_until(lambda: network.time.now > end)
    assert network.leader() == leader
    assert {node.term for node in network.nodes.values()} == {term}


def test_a_pre_vote_is_refused_while_a_leader_is_heard_or_the_log_is_older(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    voter, asker = others(network, leader)
    assert not ask_pre_vote(network, voter, asker), "it hears its leader"
    assert not ask_pre_vote(network, leader, asker), "it leads"
    network.isolate(voter)
    network.time.now += timing.ELECTION_MIN + 0.01
    assert not ask_pre_vote(network, voter, asker, last_log_index=1)
    assert not ask_pre_vote(network, voter, asker, last_log_term=0)
    assert not ask_pre_vote(network, voter, asker, term=0)
    assert ask_pre_vote(network, voter, asker)


def test_granting_a_pre_vote_changes_neither_term_nor_vote(make_network: MakeNetwork) -> None:
    network = make_network(3)
    voter, first, _ = network.addresses
    node = network.nodes[voter]
    before = (node.term, node.voted_for, node.role, node._elections._deadline)
    assert ask_pre_vote(network, voter, first)
    assert (node.term, node.voted_for, node.role, node._elections._deadline) == before


def test_one_candidate_at_a_time_is_granted_a_pre_vote(make_network: MakeNetwork) -> None:
    network = make_network(3)
    voter, first, second = network.addresses
    assert ask_pre_vote(network, voter, first)
    assert not ask_pre_vote(network, voter, second)
    assert ask_pre_vote(network, voter, first)
    assert ask_pre_vote(network, voter, second, last_log_index=1), "its log is better"
    assert not ask_pre_vote(network, voter, first)
    network.time.now += timing.PROMISE
    assert ask_pre_vote(network, voter, first)


def test_what_a_node_promised_itself_lasts_longer_while_answers_are_to_come(make_network: MakeNetwork) -> None:
    """With 200 ms of delay two followers were granted each other, and split the votes of six terms."""
    network = make_network(3)
    asker, other, voter = network.addresses
    about_to_be_granted(network, voter)
    network.time.now += timing.PROMISE
    assert not ask_pre_vote(network, voter, asker)
    refusal = about_to_be_granted(network, voter) | {"granted": False}
    network.say(other, voter, refusal)
    network.say(asker, voter, refusal)
    network.time.now += timing.PROMISE
    assert ask_pre_vote(network, voter, asker), "all have answered"


def test_a_candidate_that_gave_way_stands_when_it_was_granted_first(make_network: MakeNetwork) -> None:
    """Or two halves of a cluster wait for two candidates, each of them short of one grant."""
    network = make_network(5)
    giving_way, *voters, goes_first = network.addresses
    node = network.nodes[giving_way]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    assert ask_pre_vote(network, giving_way, goes_first)
    for voter in voters[:2]:
        grant = {"type": "pre_vote_response", "term": node.term, "round": node._elections._round, "granted": True}
        network.say(voter, giving_way, grant)
    assert not ask_pre_vote(network, giving_way, goes_first), "it stands now"
    node.turn(0.0)
    assert node.role == CANDIDATE


def test_a_grant_that_comes_when_a_leader_is_heard_again_lets_nobody_stand(make_network: MakeNetwork) -> None:
    """With 200 ms of delay, healthy leaders lost their followers to grants of before they were elected."""
    network = make_network(3)
    leader = network.elect()
    asker, voter = others(network, leader)
    grant = about_to_be_granted(network, asker)
    heartbeat = {"prev_index": 0, "prev_term": 0, "entries": [], "commit_index": 0, "log_start": 0, "acked": None}
    network.say(leader, asker, heartbeat | {"type": "append", "term": network.nodes[leader].term})
    network.say(voter, asker, grant)
    network.nodes[asker].turn(0.0)
    assert network.nodes[asker].role == FOLLOWER


def test_grants_for_a_term_that_another_stands_in_let_nobody_stand_in_the_next(make_network: MakeNetwork) -> None:
    network = make_network(3)
    asker, voter, other = network.addresses
    grant = about_to_be_granted(network, asker)
    vote = {"type": "request_vote", "term": grant["term"] + 1, "last_log_index": 0, "last_log_term": 0}
    network.nodes[asker].journal.add(b"longer", 1, 0)
    network.say(other, asker, vote)
    network.say(voter, asker, grant)
    network.nodes[asker].turn(0.0)
    assert (network.nodes[asker].role, network.nodes[asker].voted_for) == (FOLLOWER, None)


def test_who_is_cut_off_when_it_was_to_stand_does_not_when_it_returns(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    asker, voter = others(network, leader)
    network.say(voter, asker, about_to_be_granted(network, asker))
    network.isolate(asker)
    network.nodes[asker].turn(0.0)
    network.heal()
    network.nodes[asker].turn(0.0)
    assert network.nodes[asker].role == FOLLOWER


def test_who_was_elected_when_it_was_to_stand_once_more_does_not_when_it_steps_down(make_network: MakeNetwork) -> None:
    network = make_network(3)
    candidate, voter = network.addresses[:2]
    node = network.nodes[candidate]
    let_stand(network, candidate)
    network.say(voter, candidate, about_to_be_granted(network, candidate))
    network.say(voter, candidate, {"type": "response_vote", "term": node.term, "granted": True})
    assert node.role == LEADER
    network.time.now += timing.STEP_DOWN + 0.01
    node.turn(0.0)
    node.turn(0.0)
    assert (node.role, node.term) == (FOLLOWER, 1)


def test_a_candidate_gives_way_to_one_that_refused_it(make_network: MakeNetwork) -> None:
    """That one heard the leader a little longer; neither would have let the other one stand."""
    network = make_network(3)
    asker, _, voter = network.addresses
    node = network.nodes[voter]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    assert not ask_pre_vote(network, voter, asker), "its name is less"
    refusal = {"type": "pre_vote_response", "term": node.term, "granted": False}
    network.say(asker, voter, refusal | {"round": node._elections._round - 1})
    assert not ask_pre_vote(network, voter, asker), "what it refused was an earlier round"
    network.say(asker, voter, refusal | {"round": node._elections._round})
    assert ask_pre_vote(network, voter, asker)


@pytest.mark.parametrize("count", [3, 5])
def test_votes_do_not_split_when_all_followers_miss_their_leader_in_one_moment(
    make_network: MakeNetwork, count: int
) -> None:
    network = make_network(count)
    for _ in range(3):
        leader = network.elect()
        network.run_until(network.level)
        term = network.nodes[leader].term
        machine = network.kill(leader)
        for node in network.nodes.values():
            node._elections._deadline = network.time.now
            node._follower.forget_leader()
        seconds = network.run_until(lambda: network.leader() is not None)
        assert seconds < timing.ELECTION_MIN
        assert network.nodes[network.elect()].term == term + 1
        network.start(leader, machine)


def test_a_late_or_repeated_pre_vote_does_not_count(make_network: MakeNetwork) -> None:
    network = make_network(5)
    node = network.nodes[network.addresses[0]]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    this_round = node._elections._round
    grant = {"type": "pre_vote_response", "term": node.term, "granted": True}
    for peer in network.addresses[1:]:
        network.say(peer, network.addresses[0], grant | {"round": this_round - 1})
    for _ in range(5):
        network.say(network.addresses[1], network.addresses[0], grant | {"round": this_round})
    node.turn(0.0)
    assert node.role == FOLLOWER


def test_a_pre_vote_teaches_a_node_that_is_behind_the_newer_term(make_network: MakeNetwork) -> None:
    network = make_network(3)
    network.elect()
    behind = network.nodes[network.addresses[0]]
    answer = {"type": "pre_vote_response", "term": behind.term + 7, "round": 1, "granted": False}
    network.say(network.addresses[1], network.addresses[0], answer)
    assert behind.term == answer["term"]


def test_a_closed_connection_to_the_leader_makes_the_others_elect_at_once(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    network.kill(leader)
    assert network.run_until(lambda: network.leader() is not None) < timing.ELECTION_MIN / 2


def test_a_closed_connection_alone_does_not_unseat_the_leader(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    follower, term = others(network, leader)[0], network.nodes[leader].term
    for one, other in ((follower, leader), (leader, follower)):
        network.transports[one].connected(other, False)
        network.transports[one].connected(other, True)
    end = network.time.now + 2 * timing.ELECTION_MAX
    network.run_until(lambda: network.time.now > end)
    assert (network.leader(), network.nodes[leader].term) == (leader, term)


def test_one_vote_counts_once(make_network: MakeNetwork) -> None:
    network = make_network(5)
    candidate = network.addresses[0]
    node = network.nodes[candidate]
    let_stand(network, candidate)
    vote = {"type": "response_vote", "term": node.term, "granted": True}
    for _ in range(5):
        network.say(network.addresses[1], candidate, vote)
    assert node.role != LEADER, "one voter is not a majority of five, however often its vote arrives"
    network.say(network.addresses[2], candidate, vote)
    assert node.role == LEADER


def test_a_refused_or_late_vote_does_not_count(make_network: MakeNetwork) -> None:
    network = make_network(3)
    node = network.nodes[network.addresses[0]]
    let_stand(network, network.addresses[0])
    for vote in ({"term": node.term, "granted": False}, {"term": node.term - 1, "granted": True}):
        network.say(network.addresses[1], network.addresses[0], {"type": "response_vote"} | vote)
    assert node.role != LEADER


def test_a_vote_is_given_once_a_term_also_across_a_restart(make_network: MakeNetwork) -> None:
    network = make_network(3)
    voter, first, second = network.addresses
    request = {"type": "request_vote", "term": 9, "last_log_index": 0, "last_log_term": 0}

    def answer_to(candidate: str) -> bool:
        network.say(candidate, voter, request)
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
    for last_log_index, last_log_term in ((1, 1), (9, 0)):
        request = {"term": 9, "last_log_index": last_log_index, "last_log_term": last_log_term}
        network.say(others(network, leader)[0], leader, {"type": "request_vote"} | request)
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


@pytest.mark.parametrize("leap", [MAX_LEAP, MAX_LEAP + 1])
def test_a_term_that_no_elections_led_to_is_not_adopted(make_network: MakeNetwork, leap: int) -> None:
    """One message with the largest there is, and no leader was ever elected again."""
    network = make_network(3)
    leader = network.elect()
    voter, asker = others(network, leader)
    node, term = network.nodes[voter], network.nodes[voter].term
    vote = {"type": "request_vote", "term": term + leap, "last_log_index": 99, "last_log_term": term}
    network.say(asker, voter, vote)
    assert node.term == (term if leap > MAX_LEAP else term + leap)
    cut_off = [name for name, _ in network.transports[voter].disconnected]
    assert cut_off == ([asker] if leap > MAX_LEAP else [])


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


def test_who_was_told_to_stand_and_votes_for_another_forgets_it(make_network: MakeNetwork) -> None:
    """It asked for pre-votes for ever, under a healthy leader."""
    network = make_network(3)
    leader = network.elect()
    other, told = [name for name in network.addresses if name != leader]
    network.say(leader, told, {"type": "timeout_now", "term": network.nodes[leader].term})
    network.nodes[other].stand()
    network.nodes[other].turn(0.0)
    network.deliver()  # both in one poll
    network.run_until(lambda: network.leader() == other)
    for _ in range(50):
        network.round()
    assert not network.nodes[told].told_to_stand
