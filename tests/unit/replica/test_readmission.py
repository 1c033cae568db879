"""How the disk of a wiped node comes to count, and that no other disk of the node does any more."""

from collections.abc import Callable
from contextlib import closing

import pytest
from support.disks import born, lay_out, others, request, stand, vote, wipe
from support.raft_network import ListMachine, Network

from lastunit_node import sqlite
from lastunit_node.replica import timing
from lastunit_node.replica.admission import Claim, admission_entry
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.syncobj import CANDIDATE, LEADER
from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.tables import AdmittedRow

MakeNetwork = Callable[[int], Network]


def test_no_vote_in_the_term_of_ones_own_admission_also_across_a_restart(make_network: MakeNetwork) -> None:
    """The disk before this one may have voted in it."""
    network, leader = born(make_network(3))
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
    network, leader = born(make_network(3))
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


def test_a_state_that_lost_the_admission_and_knows_the_disk_before_takes_nothing_back(
    make_network: MakeNetwork,
) -> None:
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    older = ListMachine()
    older._admitted = dict(network.machines[wiped]._admitted)
    wipe(network, wiped)
    network.run_until(lambda: network.nodes[wiped].is_admitted)
    admitted_at = network.nodes[wiped].journal.owner.admitted
    network.kill(wiped)
    assert network.start(wiped, older)._admission._claim == Claim("second", admitted_at)


@pytest.mark.parametrize("earlier_vote", [None, "n3"])
def test_a_copy_that_holds_ones_own_admission_is_no_way_around_it(
    make_network: MakeNetwork, earlier_vote: str | None
) -> None:
    """A state that was fetched says that this disk is admitted; this disk has applied nothing."""
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    network.kill(wiped)
    lay_out(network, wiped, "second")
    term = network.nodes[leader].term
    journal = SqliteJournal(network.file(wiped), "cluster-id", wiped)
    journal.setCurrentTerm(term - 1, earlier_vote)
    journal.close()
    machine = ListMachine()
    machine._admitted[wiped] = AdmittedRow(wiped, "second", 9, term, 1)
    node = network.start(wiped, machine)
    assert (node.term, node.voted_for) == (term, wiped)
    assert node.journal.owner.admitted == 9
    assert node.is_admitted


def test_nor_is_one_that_brings_a_later_term_than_this_disk_has_voted_in(make_network: MakeNetwork) -> None:
    """The vote was of another term. This one has none, and is not to be given in the term of the admission."""
    network, leader = born(make_network(3))
    node, other = others(network, leader)
    network.kill(node)
    lay_out(network, node, "old", founding=True)
    journal = SqliteJournal(network.file(node), "cluster-id", node)
    journal.setCurrentTerm(5, other)
    journal.install("state-100.db", 100, 9)
    journal.close()
    machine = ListMachine()
    machine.applied = [(index, 9, b"") for index in range(1, 101)]
    machine._admitted[node] = AdmittedRow(node, "old", 90, 9, 1)
    restarted = network.start(node, machine)
    assert (restarted.term, restarted.voted_for) == (9, node)
    assert restarted.is_admitted


def test_disks_are_admitted_by_a_leader_in_whose_term_they_have_answered(make_network: MakeNetwork) -> None:
    """So that its term is not below that of its admission. And not on a single message, which may be a late one."""
    network, leader = born(make_network(3))
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


# What a node's log says of the disks that counted before it was applied.


def admit_in_log(network: Network, address: str, admitted: str, behind: int = 0) -> None:
    """A second disk of a node is admitted in this one's log, behind so many other entries; none of it is applied."""
    node, row = network.nodes[address], network.machines[address].admitted(admitted)
    assert row is not None
    for _ in range(behind):
        node.journal.add(b"x", node.journal.last_index + 1, node.term)
    admission = admission_entry(Admit(admitted, "second", row.idx))
    node.journal.add(admission, node.journal.last_index + 1, node.term)


@pytest.mark.parametrize("behind", [0, 63, 64, 70, 200])
def test_an_admission_is_seen_however_far_back_it_is_in_the_log(make_network: MakeNetwork, behind: int) -> None:
    network, _ = born(make_network(3))
    candidate, old, _ = network.addresses
    admit_in_log(network, candidate, old, behind)
    stand(network, candidate)
    vote(network, old, candidate)
    assert network.nodes[candidate].role == CANDIDATE


def test_who_stands_again_knows_what_came_into_its_log_since_it_stood(make_network: MakeNetwork) -> None:
    network, _ = born(make_network(5))
    candidate, old, other, *_ = network.addresses
    node = network.nodes[candidate]
    stand(network, candidate)
    vote(network, old, candidate)  # one that counts: it looked at its log
    node.become_follower(None)
    admit_in_log(network, candidate, old)
    stand(network, candidate)
    for voter in (old, other):
        vote(network, voter, candidate)
    assert node.role == CANDIDATE, "two of five: itself and the other"


def test_a_new_leader_counts_no_acknowledgement_of_a_disk_that_its_log_says_is_superseded(
    make_network: MakeNetwork,
) -> None:
    """Before its no-op is applied, what was applied may say that the disk counts."""
    network, _ = born(make_network(3))
    candidate, old, other = network.addresses
    node = network.nodes[candidate]
    admit_in_log(network, candidate, old)
    stand(network, candidate)
    vote(network, other, candidate)
    assert node.role == LEADER
    assert not node.leads
    last, commit = node.journal.last_index, node.commit_index
    answer = {"type": "append_response", "term": node.term, "prev_index": last - 1, "success": True, "last": last}
    network.say(old, candidate, answer)
    node.turn(0.0)
    assert node.commit_index == commit
    network.say(other, candidate, answer)
    node.turn(0.0)
    assert node.commit_index == last


@pytest.mark.interpreted
def test_the_vote_in_the_term_of_the_admission_is_on_disk_before_the_admission(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a crash between the two would leave a disk that counts, and that may vote where its former one has."""
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    votes: list[tuple[int, str | None]] = []

    def note_admission(journal: SqliteJournal, index: int) -> None:
        with closing(sqlite.connect(network.file(wiped), "ro")) as reader:
            votes.extend(reader.execute("SELECT term, voted_for FROM vote"))
        original(journal, index)

    original = SqliteJournal.note_admission
    wipe(network, wiped)
    monkeypatch.setattr(SqliteJournal, "note_admission", note_admission)
    network.run_until(lambda: network.nodes[wiped].is_admitted)
    assert votes == [(network.nodes[wiped].term, wiped)]


def test_a_disk_whose_connection_was_lost_is_not_admitted_before_it_speaks_again(make_network: MakeNetwork) -> None:
    """The next one to speak for its node may be another disk."""
    network, leader = born(make_network(3))
    wiped = others(network, leader)[0]
    network.admits = False
    wipe(network, wiped)
    network.run_until(lambda: network.level() and network.nodes[wiped].leader is not None)
    end = network.time.now + 2 * timing.CONFIGURE_RETRY
    network.run_until(lambda: network.time.now > end)
    node, row = network.nodes[leader], network.machines[leader].admitted(wiped)
    assert row is not None
    network.transports[leader].connected(wiped, False)
    assert list(node.admissions_due()) == []
    network.transports[leader].connected(wiped, True)
    network.time.now += timing.HEARTBEAT
    answer = {"type": "append_response", "term": node.term, "prev_index": 0, "success": True, "last": 0}
    network.say(wiped, leader, answer)
    assert list(node.admissions_due()) == [Admit(wiped, "second", row.idx)]
