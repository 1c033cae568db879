"""The disk of a node that another one has replaced, and that is put back, or still there: nobody counts it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.disks import admitted, born, others, put_aside, put_back, request, stand, vote, wait, wipe
from support.raft_network import ListMachine, Network

from lastunit_node.replica import timing
from lastunit_node.replica.admission import NOT_ADMITTED, UNCONTESTED, Claim, admission_entry
from lastunit_node.replica.syncobj import CANDIDATE, FOLLOWER, LEADER
from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.results import Applied
from lastunit_node.statemachine.tables import AdmittedRow

MakeNetwork = Callable[[int], Network]


def test_an_old_disk_that_is_put_back_does_not_count_until_it_is_admitted_again(
    make_network: MakeNetwork, tmp_path: Path
) -> None:
    network, leader = born(make_network(3))
    node, other = others(network, leader)
    machine = put_aside(network, node, tmp_path)
    wipe(network, node)
    network.run_until(lambda: admitted(network, node) and network.level())
    put_back(network, node, tmp_path)
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
    network, _ = born(make_network(3))
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


def test_so_does_who_votes(make_network: MakeNetwork) -> None:
    network, _ = born(make_network(3))
    voter, old, _ = network.addresses
    node = network.nodes[voter]
    row = network.machines[voter].admitted(old)
    assert row is not None
    for asks in ("pre_vote", "request_vote"):
        index = node.journal.last_index + 1
        node.journal.add(admission_entry(Admit(old, f"second-{asks}", row.idx)), index, node.term)
        assert not request(network, voter, old, asks)
        assert request(network, voter, old, asks, instance=f"second-{asks}", admitted=index)
        node.journal.cut_from(index)
        assert request(network, voter, old, asks), "what another leader overwrote says nothing"


class SlowMachine(ListMachine):
    """Applies one entry a turn."""

    def __init__(self, network: Network, before: ListMachine) -> None:
        super().__init__()
        self.applied, self._admitted = before.applied, before._admitted
        self._network = network

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        self._network.time.now += 0.021
        return super().apply(index, term, entry)


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_old_disk_does_not_lead_while_it_catches_up(
    make_network: MakeNetwork, tmp_path: Path, is_killed: bool
) -> None:
    """It has the entry that admits the disk after it, which has acknowledged an order and is lost; that entry is not
    applied yet, neither there nor by the node that it asks for a vote.
    """
    network, leader = born(make_network(3))
    node, other = others(network, leader)
    machine = put_aside(network, node, tmp_path)
    network.commit(leader, [b"%d" % number for number in range(60)])
    wipe(network, node)

    committed = network.nodes[leader].commit_index
    network.lose = lambda message: message["type"] == "append" and message["commit_index"] > committed
    network.run_until(lambda: row_of(network, leader, node).instance == "second")
    admitted_at = row_of(network, leader, node).idx
    network.lose = lambda _message: False
    assert network.nodes[other].journal.last_index >= admitted_at > network.nodes[other].last_applied
    network.isolate(other)
    network.run_until(lambda: network.nodes[node].is_admitted)
    network.commit(leader, [b"b" * (1 << 20)])  # fills a message
    network.commit(leader, [b"an order"])
    order_at = network.nodes[leader].journal.last_index

    put_back(network, node, tmp_path)
    restored = network.start(node, machine if is_killed else SlowMachine(network, machine))
    network.run_until(lambda: restored.journal.last_index >= admitted_at)
    assert order_at > restored.journal.last_index
    applied = network.kill(leader)
    if is_killed:
        network.start(node, network.kill(node))
    network.heal()
    wait(network, 10.0)
    assert network.leader() is None, "nobody who is left has the order"
    network.start(leader, applied)
    network.run_until(lambda: network.leader() is not None and network.level(), seconds=20.0)
    assert all(machine.applied[order_at - 1][2] == b"an order" for machine in network.machines.values())


def row_of(network: Network, by: str, node: str) -> AdmittedRow:
    row = network.machines[by].admitted(node)
    assert row is not None
    return row


def test_what_a_superseded_disk_holds_is_counted_no_more_whatever_it_says(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    node, peer = network.nodes[leader], network.nodes[leader].peers[0]
    network.admits = False
    node.propose(admission_entry(Admit(peer.id, "another", row_of(network, leader, peer.id).idx)), None)
    network.run_until(lambda: row_of(network, leader, peer.id).instance == "another")
    node.set_match_index(peer, node.journal.last_index)  # as if it had acknowledged everything before that
    rejection = {"type": "append_response", "term": node.term, "prev_index": 1, "success": False, "last": 0}
    network.say(peer.id, leader, rejection)
    assert node._SyncObj__raftMatchIndex[peer] == 0


def test_who_asked_for_votes_and_is_superseded_does_not_stand(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
    asker, voter = others(network, leader)
    node, machine = network.nodes[asker], network.machines[asker]
    network.time.now += timing.ELECTION_MAX + 0.01
    node.turn(0.0)
    machine._admitted[asker] = AdmittedRow(asker, "another", node.journal.last_index, node.term, 1)
    admitted_at = node.journal.owner.admitted
    node._admission.learn()
    assert node.journal.owner.admitted == admitted_at, "it was not this disk"
    grant = {"type": "pre_vote_response", "term": node.term, "round": node._elections._round, "granted": True}
    network.say(voter, asker, grant)
    node.turn(0.0)
    assert node.role == FOLLOWER


def test_a_leader_whose_disk_is_superseded_steps_down(make_network: MakeNetwork) -> None:
    network, leader = born(make_network(3))
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
        (Claim("a", UNCONTESTED), AdmittedRow("n1", "a", 5, 1, 0), True),
        (Claim("a", UNCONTESTED), AdmittedRow("n1", "a", 5, 1, 3), False),
        (Claim("a", NOT_ADMITTED), AdmittedRow("n1", "a", 5, 1, 0), False),
        (Claim("a", UNCONTESTED), AdmittedRow("n1", "b", 5, 1, 0), False),
        (Claim("a", 4), AdmittedRow("n1", "b", 5, 1, 4), False),
        (Claim("a", 4), AdmittedRow("n1", "a", 5, 1, 4), False),
        (Claim("a", 5), AdmittedRow("n1", "a", 5, 1, 4), True),
        (Claim("a", 5), AdmittedRow("n1", "b", 5, 1, 4), False),
        (Claim("a", 6), AdmittedRow("n1", "b", 5, 1, 0), True),
        (Claim("a", 6), AdmittedRow("n1", "a", 5, 1, 0), True),
    ],
)
def test_which_claims_hold(claim: Claim, row: AdmittedRow | None, holds: bool) -> None:
    assert claim.holds_against(row) is holds
