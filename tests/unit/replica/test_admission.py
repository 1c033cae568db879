"""A node that lost its disk is not taken for what it was: on the real core in virtual time (pysyncobj.md, rule 9)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.raft_network import ListMachine, Network

from lastunit_node.replica import timing
from lastunit_node.replica.admission import NOT_ADMITTED, UNCONTESTED, Claim, admission_entry
from lastunit_node.replica.journal import create_journal
from lastunit_node.replica.syncobj import CANDIDATE, FOLLOWER, LEADER
from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.tables import AdmittedRow

MakeNetwork = Callable[[int], Network]


def others(network: Network, address: str) -> list[str]:
    return [peer for peer in network.addresses if peer != address]


def wait(network: Network, seconds: float) -> None:
    end = network.time.now + seconds
    network.run_until(lambda: network.time.now > end, seconds=seconds + 1)


def admitted(network: Network, address: str) -> bool:
    """Whether every node knows the disk of this one, and so does it itself."""
    instance = network.nodes[address].journal.instance
    rows = [network.machines[node].admitted(address) for node in network.nodes]
    return all(row is not None and row.instance == instance for row in rows) and network.nodes[address].is_admitted


def born(make_network: MakeNetwork, count: int = 3) -> tuple[Network, str]:
    """A cluster in which every disk is admitted, and an entry is committed; its leader."""
    network = make_network(count)
    network.admits = True
    leader = network.elect()
    network.run_until(lambda: all(admitted(network, address) for address in network.addresses))
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    return network, leader


def lay_out(network: Network, address: str, instance: str, *, founding: bool = False) -> None:
    """Give a node that is down an empty disk."""
    for file in network.folder.glob(f"{address}.db*"):
        file.unlink()
    create_journal(network.file(address), "cluster-id", address, founding=founding, instance=instance)


def wipe(network: Network, address: str, instance: str = "second") -> None:
    """The node loses its disk and comes back with an empty one."""
    if address in network.nodes:
        network.kill(address)
    lay_out(network, address, instance)
    network.start(address)


def request(network: Network, voter: str, candidate: str, kind: str, **claim: object) -> bool:
    """A voter's answer to a request that only the candidate's claim could make it refuse."""
    node = network.nodes[voter]
    message = {"type": kind, "term": node.term + 1, "round": 1, "last_log_index": 1 << 40, "last_log_term": 1 << 40}
    network.time.now += timing.ELECTION_MIN + 0.01  # no leader was heard of late
    network.say(candidate, voter, message, **claim)
    return bool(network.queue.pop()[2]["granted"])


def stand(network: Network, address: str) -> None:
    """Let a node stand in a new term, with nobody's vote yet."""
    node = network.nodes[address]
    node.set_term(node.term + 1, address)
    node._SyncObj__setState(CANDIDATE)


def vote(network: Network, voter: str, candidate: str, **claim: object) -> None:
    answer = {"type": "response_vote", "term": network.nodes[candidate].term, "granted": True}
    network.say(voter, candidate, answer, **claim)


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
    network, leader = born(make_network)
    victim, other = others(network, leader)
    network.kill(victim)
    lay_out(network, victim, "mistake", founding=True)
    network.start(victim)
    assert network.nodes[victim]._admission._claim == ("mistake", UNCONTESTED)
    for kind in ("pre_vote", "request_vote"):
        assert not request(network, victim, other, kind)
    assert request(network, victim, other, "request_vote", instance="first", admitted=UNCONTESTED)


# A wiped node.


@pytest.mark.parametrize("kind", ["pre_vote", "request_vote"])
def test_a_wiped_node_has_no_vote(make_network: MakeNetwork, kind: str) -> None:
    network, leader = born(make_network)
    wiped, other = others(network, leader)
    assert request(network, wiped, other, kind), "before"
    wipe(network, wiped)
    assert not request(network, wiped, other, kind)


def test_a_wiped_node_does_not_stand(make_network: MakeNetwork) -> None:
    network, leader = born(make_network)
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
    network, leader = born(make_network)
    wiped, voter = others(network, leader)
    wipe(network, wiped)
    assert not request(network, voter, wiped, kind)
    assert request(network, voter, leader, kind)


def test_what_a_wiped_node_acknowledges_brings_it_level_and_counts_nowhere(make_network: MakeNetwork) -> None:
    network, leader = born(make_network)
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
    network, stale = born(make_network)
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
    network, leader = born(make_network)
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
    network, leader = born(make_network)
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
    network, leader = born(make_network)
    wiped = others(network, leader)[0]
    wipe(network, wiped)
    network.run_until(lambda: admitted(network, wiped) and network.level())
    network.round()
    node, peer = network.nodes[leader], next(peer for peer in network.nodes[leader].peers if peer.id == wiped)
    match = node._leader.match_index(peer)
    late = {"type": "append_response", "term": node.term, "prev_index": 0, "success": True, "last": 0}
    network.say(wiped, leader, late, instance=f"first-{wiped}", admitted=2)
    assert node._leader.match_index(peer) == match > 0


def test_leadership_is_not_handed_to_a_wiped_node(make_network: MakeNetwork) -> None:
    network, leader = born(make_network)
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
    network, leader = born(make_network)
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
    network, leader = born(make_network)
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
    network, leader = born(make_network)
    network.admits = False
    wipe(network, others(network, leader)[0])
    with capture_logs() as logs:
        wait(network, 1.5 * timing.STUCK)
    assert not [log for log in logs if log["event"].startswith("no leader")]


# Its admission.


def test_no_vote_in_the_term_of_ones_own_admission_also_across_a_restart(make_network: MakeNetwork) -> None:
    """The disk before this one may have voted in it."""
    network, leader = born(make_network)
    wiped, other = others(network, leader)
    wipe(network, wiped)
    network.run_until(lambda: network.nodes[wiped].is_admitted)

    def votes(term: int) -> bool:
        asks = {"type": "request_vote", "term": term, "last_log_index": 1 << 40, "last_log_term": 1 << 40}
        network.say(other, wiped, asks)
        return bool(network.queue.pop()[2]["granted"])

    term = network.nodes[wiped].term
    assert not votes(term)
    network.kill(wiped)
    network.start(wiped, ListMachine())  # what it had applied was lost
    node = network.nodes[wiped]
    assert node.is_admitted, "the journal remembers"
    assert (node.term, node.voted_for) == (term, wiped)
    assert not votes(term)
    assert votes(term + 1)


def test_a_vote_that_was_given_after_the_admission_stands_when_it_is_applied_again(make_network: MakeNetwork) -> None:
    network, leader = born(make_network)
    wiped, other = others(network, leader)
    wipe(network, wiped)
    network.run_until(lambda: network.nodes[wiped].is_admitted and network.level())
    assert request(network, wiped, other, "request_vote")
    term = network.nodes[wiped].term
    network.kill(wiped)
    node = network.start(wiped, ListMachine())
    node.set_commit_index(node.journal.last_index)
    node.turn(0.0)
    assert node.last_applied == node.journal.last_index
    assert (node.term, node.voted_for) == (term, other)


def test_a_copy_that_holds_ones_own_admission_is_no_way_around_it(make_network: MakeNetwork) -> None:
    """A state that was fetched says that this disk is admitted; this disk has applied nothing."""
    network, leader = born(make_network)
    wiped = others(network, leader)[0]
    network.kill(wiped)
    lay_out(network, wiped, "second")
    term = network.nodes[leader].term
    machine = ListMachine()
    machine._admitted[wiped] = AdmittedRow(wiped, "second", 9, term)
    node = network.start(wiped, machine)
    assert (node.term, node.voted_for) == (term, wiped)
    assert node.journal.owner.admitted == 9
    assert node.is_admitted


def test_disks_are_admitted_by_a_leader_in_whose_term_they_have_answered(make_network: MakeNetwork) -> None:
    """So that its term is not below that of its admission. And not on a single message, which may be a late one."""
    network, leader = born(make_network)
    wiped = others(network, leader)[0]
    network.admits = False
    network.kill(wiped)
    lay_out(network, wiped, "second")
    network.start(wiped)
    network.isolate(wiped)
    node = network.nodes[leader]
    network.time.now += timing.CONFIGURE_RETRY
    vote_of_earlier = {"type": "response_vote", "term": node.term - 1, "granted": False}
    for _ in range(3):
        network.say(wiped, leader, vote_of_earlier)
        network.time.now += timing.HEARTBEAT
        assert list(node.admissions_due()) == []
    network.say(wiped, leader, vote_of_earlier | {"term": node.term})
    network.time.now += timing.HEARTBEAT
    row = network.machines[leader].admitted(wiped)
    assert row is not None
    assert list(node.admissions_due()) == [Admit(wiped, "second", row.idx)]
    network.time.now += timing.HEARTBEAT
    assert list(node.admissions_due()) == [], "paced"
    network.time.now += timing.CONFIGURE_RETRY
    network.say(wiped, leader, vote_of_earlier | {"term": node.term}, instance="third")
    assert list(node.admissions_due()) == []


# An old disk.


def test_an_old_disk_that_is_put_back_does_not_count_until_it_is_admitted_again(
    make_network: MakeNetwork, tmp_path: Path
) -> None:
    network, leader = born(make_network)
    node, other = others(network, leader)
    machine = network.kill(node)
    old = tmp_path / "old"
    old.mkdir()
    for file in network.folder.glob(f"{node}.db*"):
        shutil.copy(file, old)
    wipe(network, node)
    network.run_until(lambda: admitted(network, node) and network.level())
    network.kill(node)
    for file in network.folder.glob(f"{node}.db*"):
        file.unlink()
    for file in old.iterdir():
        shutil.copy(file, network.folder)
    network.start(node, machine)
    claim = network.nodes[node]._admission._claim
    assert claim.instance == f"first-{node}"
    assert claim.admitted > 0, "it does not know"
    assert not request(network, other, node, "request_vote")
    stand(network, other)
    vote(network, node, other)
    assert network.nodes[other].role == CANDIDATE

    network.run_until(lambda: network.leader() is not None and admitted(network, node), seconds=20.0)
    assert network.machines[node].admitted(node) != machine.admitted("nobody")
    row = network.machines[node].admitted(node)
    assert row is not None
    assert row.instance == f"first-{node}"


def test_who_counts_votes_knows_what_its_log_says_and_was_not_applied(make_network: MakeNetwork) -> None:
    """The old disk of n3 is put back while n2 has the Admit of the newer one in its log, and has not applied it."""
    network, _ = born(make_network)
    candidate, old, _ = network.addresses
    node, machine = network.nodes[candidate], network.machines[candidate]
    row = machine.admitted(old)
    assert row is not None
    index = node.journal.last_index + 1
    node.journal.add(admission_entry(Admit(old, "second", row.idx)), index, node.term)
    node.journal.add(admission_entry(Admit(old, "delayed", row.idx)), index + 1, node.term)
    stand(network, candidate)
    vote(network, old, candidate)
    assert node.role == CANDIDATE
    network.transports[candidate].connected(old, False)
    vote(network, old, candidate, instance="second", admitted=index)
    assert node.role == LEADER


def test_a_leader_whose_disk_is_superseded_steps_down(make_network: MakeNetwork) -> None:
    network, leader = born(make_network)
    network.admits = False
    node = network.nodes[leader]
    row = network.machines[leader].admitted(leader)
    assert row is not None
    with capture_logs() as logs:
        network.nodes[leader].propose(admission_entry(Admit(leader, "another", row.idx)), None)
        network.run_until(lambda: not node.is_admitted)
    assert node.role == FOLLOWER
    assert any("another disk of this node was admitted" in log["event"] for log in logs)
    assert network.elect() != leader


@pytest.mark.parametrize(
    ("claim", "row", "holds"),
    [
        (Claim("a", NOT_ADMITTED), None, False),
        (Claim("a", UNCONTESTED), None, True),
        (Claim("a", 7), None, True),
        (Claim("a", UNCONTESTED), AdmittedRow("n1", "a", 5, 1), True),
        (Claim("a", NOT_ADMITTED), AdmittedRow("n1", "a", 5, 1), False),
        (Claim("a", UNCONTESTED), AdmittedRow("n1", "b", 5, 1), False),
        (Claim("a", 4), AdmittedRow("n1", "b", 5, 1), False),
        (Claim("a", 6), AdmittedRow("n1", "b", 5, 1), True),
    ],
)
def test_which_claims_hold(claim: Claim, row: AdmittedRow | None, holds: bool) -> None:
    assert claim.holds_against(row) is holds
