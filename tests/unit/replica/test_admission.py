"""A node that lost its disk is not taken for what it was (docs/raft-rules.md, rule 9); the real core, virtual time."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from support.disks import admitted, born, lay_out, others, request, wait, wipe
from support.raft_network import Network

from lastunit_node.replica import timing
from lastunit_node.replica.admission import UNCONTESTED
from lastunit_node.replica.syncobj import FOLLOWER, LEADER

MakeNetwork = Callable[[int], Network]


# A new cluster.


@pytest.mark.parametrize("count", [3, 5])
def test_the_disks_of_a_new_cluster_count_at_once_and_are_admitted(make_network: MakeNetwork, count: int) -> None:
    network = make_network(count)
    assert all(node._admission._claim.admitted == UNCONTESTED for node in network.nodes.values())
    network.elect()
    votes = {address: node.voted_for for address, node in network.nodes.items()}
    network.admits = True
    network.run_until(lambda: all(admitted(network, address) for address in network.addresses), seconds=5.0)
    for address, node in network.nodes.items():
        assert node.voted_for == votes[address] or votes[address] is None, "a vote is not taken back"
        row = network.machines[address].admitted(address)
        assert row is not None
        assert node._admission._claim == (f"first-{address}", row.idx)
        assert node.journal.owner.admitted == row.idx


def test_two_of_three_can_be_born_when_one_has_an_entry_and_the_other_none(make_network: MakeNetwork) -> None:
    """The leader wrote its no-op and died with the third node; the second has seen nothing."""
    network = make_network(3)
    network.lose = lambda message: bool(message["type"] == "append")
    network.run_until(lambda: any(node.role == LEADER for node in network.nodes.values()))
    network.round()
    leader = next(address for address, node in network.nodes.items() if node.role == LEADER)
    blank, third = others(network, leader)
    network.kill(third)
    network.start(leader, network.kill(leader))
    assert network.nodes[leader].journal.last_index == 1
    assert network.nodes[blank].journal.last_index == 0
    network.lose = lambda _message: False
    assert network.elect() == leader, "the other one's log is shorter"


def test_a_founding_disk_without_a_log_votes_for_its_like_only(make_network: MakeNetwork) -> None:
    """It may have been made in the place of a lost one, by mistake: then the candidates know better than it does."""
    network, leader = born(make_network(3))
    victim, other = others(network, leader)
    network.kill(victim)
    lay_out(network, victim, "mistake", founding=True)
    network.start(victim)
    assert network.nodes[victim]._admission._claim == ("mistake", UNCONTESTED)
    for kind in ("pre_vote", "request_vote"):
        assert not request(network, victim, other, kind)
    assert request(network, victim, other, "request_vote", instance="first", admitted=UNCONTESTED)


def test_a_founding_disk_with_a_log_votes_for_one_that_was_admitted_before_it(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    voter, candidate = others(network, leader)
    assert network.nodes[voter]._admission._claim.admitted == UNCONTESTED
    for kind in ("pre_vote", "request_vote"):
        assert request(network, voter, candidate, kind, admitted=7)


# A wiped node.


@pytest.mark.parametrize("kind", ["pre_vote", "request_vote"])
def test_a_wiped_node_has_no_vote(make_network: MakeNetwork, kind: str) -> None:
    network, leader = born(make_network(3))
    wiped, other = others(network, leader)
    assert request(network, wiped, other, kind), "before"
    wipe(network, wiped)
    assert not request(network, wiped, other, kind)


def test_a_wiped_node_does_not_stand(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    network.admits = False
    wipe(network, wiped)
    network.run_until(lambda: network.nodes[wiped].leader is not None)
    node = network.nodes[wiped]
    sent: list[str] = []
    network.transports[wiped].on_send = lambda message: sent.append(message["type"])
    network.say(leader, wiped, {"type": "timeout_now", "term": node.term})
    node.turn(0.0)
    for address in others(network, wiped):
        network.kill(address)
    term = node.term
    wait(network, 5 * timing.ELECTION_MAX)
    assert (node.role, node.term) == (FOLLOWER, term)
    assert not {"pre_vote", "request_vote"} & set(sent)


@pytest.mark.parametrize("kind", ["pre_vote", "request_vote"])
def test_nobody_votes_for_a_wiped_node(make_network: MakeNetwork, kind: str) -> None:
    network, leader = born(make_network(3))
    wiped, voter = others(network, leader)
    wipe(network, wiped)
    assert not request(network, voter, wiped, kind)
    assert request(network, voter, leader, kind)


def test_what_a_wiped_node_acknowledges_brings_it_level_and_counts_nowhere(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    wiped, other = others(network, leader)
    network.admits = False
    network.kill(other)
    wipe(network, wiped)
    node = network.nodes[leader]
    commit_index = node.commit_index
    node.propose(b"b", None)
    network.run_until(lambda: node.known_match_indexes().count(commit_index + 1) == 1, seconds=1.0)
    assert node.journal.last_index == commit_index + 1
    assert node.commit_index == commit_index
    assert network.run_until(lambda: node.role != LEADER) <= timing.STEP_DOWN + 0.1, "nobody else counts"
    assert not node.has_quorum


def test_a_stale_leader_cannot_commit_with_a_wiped_node_over_the_real_one(make_network: MakeNetwork) -> None:
    """The hazard: the wiped node has forgotten that it acknowledged another leader's entry."""
    network, stale = born(make_network(3))
    network.admits = False
    network.isolate(stale)
    old = network.nodes[stale]
    old.propose(b"stale", None)
    network.round()
    real = network.elect(excluding=stale)
    (wiped,) = [address for address in others(network, real) if address != stale]
    network.commit(real, [b"real"])
    machine = network.kill(real)
    wipe(network, wiped)
    old._SyncObj__lastResponseTime.update(dict.fromkeys(old.peers, network.time.now))
    assert old.role == LEADER, "it has not heard of the other"
    network.heal()
    wait(network, timing.STEP_DOWN / 2)
    assert network.nodes[wiped].journal.last_index == old.journal.last_index
    assert b"stale" not in [entry for _, _, entry in network.machines[stale].applied]

    network.start(real, machine)
    network.run_until(lambda: network.leader() is not None and network.level(), seconds=20.0)
    for applied in (network.machines[address].applied for address in network.addresses):
        entries = [entry for _, _, entry in applied]
        assert b"real" in entries
        assert b"stale" not in entries


def test_a_wiped_node_is_admitted_without_its_own_word_and_then_counts(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    wiped, other = others(network, leader)
    wipe(network, wiped)
    network.run_until(lambda: admitted(network, wiped), seconds=3.0)
    network.kill(other)
    network.commit(leader, [b"b"])
    network.kill(leader)
    machine = network.machines[wiped]
    assert (leader_row := machine.admitted(wiped)) is not None
    assert leader_row.instance == "second"
    assert network.nodes[wiped].is_admitted


def test_the_leader_forgets_what_the_former_disk_held(make_network: MakeNetwork) -> None:
    """Else it would take every rejection of the empty one for a stale one, and never go back to its beginning."""
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    network.admits = False
    network.commit(leader, [b"b"] * 20)
    network.run_until(network.level)
    wipe(network, wiped)
    node, peer = network.nodes[leader], next(peer for peer in network.nodes[leader].peers if peer.id == wiped)
    assert node._SyncObj__raftMatchIndex[peer] == node._leader.match_index(peer) == node.journal.last_index
    network.run_until(lambda: node._leader.match_index(peer) == 0, seconds=0.5)
    assert node._SyncObj__raftMatchIndex[peer] == 0
    network.run_until(network.level, seconds=2.0)
    assert node._SyncObj__raftMatchIndex[peer] == 0, "level, and still not counted"


def test_what_the_former_disk_held_is_not_counted_either(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    network.round()
    node, peer = network.nodes[leader], network.nodes[leader].peers[0]
    assert node._SyncObj__raftMatchIndex[peer] == node.journal.last_index
    rejection = {"type": "append_response", "term": node.term, "prev_index": 2, "success": False, "last": 0}
    network.say(peer.id, leader, rejection, instance="another")
    assert node._SyncObj__raftMatchIndex[peer] == 0


def test_what_the_former_disk_sent_is_dropped_while_the_newer_one_talks(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    wipe(network, wiped)
    network.run_until(lambda: admitted(network, wiped) and network.level())
    network.round()
    node, peer = network.nodes[leader], next(peer for peer in network.nodes[leader].peers if peer.id == wiped)
    match = node._leader.match_index(peer)
    late = {"type": "append_response", "term": node.term, "prev_index": 0, "success": True, "last": 0}
    network.say(wiped, leader, late, instance=f"first-{wiped}", admitted=2)
    assert node._leader.match_index(peer) == match > 0


def test_a_late_word_of_the_former_disk_does_not_shut_the_new_one_out(make_network: MakeNetwork) -> None:
    """The log still names the former disk, and its message came last on the new connection."""
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    network.admits = False
    wipe(network, wiped)
    node = network.nodes[leader]
    late = {"type": "append_response", "term": node.term, "prev_index": 0, "success": True, "last": 0}
    network.say(wiped, leader, late, instance=f"first-{wiped}", admitted=2)
    network.commit(leader, [b"b"])
    network.run_until(network.level, seconds=1.5)


def test_leadership_is_not_handed_to_a_wiped_node(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    wiped, other = others(network, leader)
    network.admits = False
    wipe(network, wiped)
    network.run_until(network.level)
    node = network.nodes[leader]
    by_name = {peer.id: peer for peer in node.peers}
    assert node.begin_transfer(by_name[wiped]) is None
    chosen = node.begin_transfer(None)
    assert chosen is not None
    assert chosen.id == other


def test_a_wiped_node_takes_no_part_in_the_comparison_of_hashes(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    network.admits = False
    wipe(network, wiped)
    sent: list[str] = []
    network.transports[wiped].on_send = lambda message: sent.append(message["type"])
    wait(network, 3 * timing.COMPARE)
    assert "append_response" in sent
    assert "hash_report" not in sent
    rounds = network.nodes[leader]._comparison._rounds
    report = {"type": "hash_report", "term": network.nodes[leader].term, "index": rounds.newest}
    network.say(wiped, leader, report | {"chain": bytes(16), "digest": bytes(16)})
    assert wiped not in rounds.reports(rounds.newest)


def test_two_wiped_of_three_elect_nobody_and_say_why(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    first, second = others(network, leader)
    for address in network.addresses:
        network.kill(address)
    for address in (first, second):
        wipe(network, address)
    network.start(leader, network.machines[leader])
    with capture_logs() as logs:
        wait(network, 2.5 * timing.STUCK)
    assert all(node.role != LEADER for node in network.nodes.values())
    warnings = [log for log in logs if log["event"].startswith("no leader: too few nodes")]
    told = [log for log in warnings if log["not_admitted"] == f"{first}, {second}"]
    assert {log["counted"] for log in told} == {leader}
    assert "waits for an operator" in told[0]["advice"]
    assert len(warnings) <= 2 * len(network.nodes)


def test_one_wiped_of_three_says_nothing_while_the_others_lead(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    network.admits = False
    wipe(network, others(network, leader)[0])
    with capture_logs() as logs:
        wait(network, 1.5 * timing.STUCK)
    assert not [log for log in logs if log["event"].startswith("no leader")]
