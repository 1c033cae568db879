"""Two disks of one node that take turns while the leader admits one of them.

The schedules are of a model of rule 9, searched for the shortest that lose what was acknowledged.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.disks import admitted, born, others, put_aside, put_back, stand, vote, wait, wipe
from support.raft_network import Network

from lastunit_node.replica.admission import admission_entry
from lastunit_node.replica.syncobj import CANDIDATE, LEADER
from lastunit_node.statemachine.commands import Admit

MakeNetwork = Callable[[int], Network]


def propose(network: Network, leader: str) -> list[int]:
    """Propose an order; what its caller is told, as it comes."""
    told: list[int] = []
    network.nodes[leader].propose(b"an order", lambda _applied, reason: told.append(reason))
    return told


def add_admission(network: Network, leader: str, node: str, other: str) -> None:
    """Cut the other node off, and run until the leader has admitted the disk of this one in its log."""
    last = network.nodes[leader].journal.last_index
    network.isolate(other)
    network.run_until(lambda: network.nodes[node].journal.last_index > last)


@pytest.mark.parametrize("is_next", [True, False])
def test_after_its_admission_a_disk_is_counted_in_no_other_ones_place(
    make_network: MakeNetwork, tmp_path: Path, is_next: bool
) -> None:
    """The old disk acknowledges an order that follows the newer one's admission; the newer one would count without it.

    is_next: that admission is in the leader's log only. Else it is committed, and that of the old disk again is not.
    """
    network, leader = born(make_network(3))
    node, other = others(network, leader)
    machine = put_aside(network, node, tmp_path)
    wipe(network, node)
    if is_next:
        add_admission(network, leader, node, other)
    else:
        network.run_until(lambda: admitted(network, node) and network.level())
    put_back(network, node, tmp_path)
    network.start(node, machine)
    if not is_next:
        add_admission(network, leader, node, other)
    told = propose(network, leader)
    order_at = network.nodes[leader].journal.last_index + 1
    network.run_until(lambda: network.nodes[node].journal.last_index >= order_at)
    wait(network, 5.0)
    assert told == []
    network.heal()
    network.run_until(
        lambda: network.leader() is not None and network.level() and admitted(network, node), seconds=30.0
    )
    orders = [[entry for _, _, entry in machine.applied].count(b"an order") for machine in network.machines.values()]
    assert orders == [1, 1, 1]


def test_a_disk_whose_log_admits_another_one_of_its_node_does_not_stand(
    make_network: MakeNetwork, tmp_path: Path
) -> None:
    """It would count itself for entries without which the other one counts."""
    network, leader = born(make_network(3))
    node, other = others(network, leader)
    machine = put_aside(network, node, tmp_path)
    wipe(network, node)
    add_admission(network, leader, node, other)
    put_back(network, node, tmp_path)
    restored = network.start(node, machine)
    admitted_at = network.nodes[leader].journal.last_index
    network.run_until(lambda: restored.journal.last_index == admitted_at)
    applied = network.kill(leader)
    network.heal()
    wait(network, 10.0)
    assert restored.commit_index < admitted_at
    network.start(leader, applied)
    network.run_until(
        lambda: network.leader() is not None and network.level() and admitted(network, node), seconds=30.0
    )


def test_a_disk_that_is_admitted_again_counts_once_it_knows(make_network: MakeNetwork) -> None:
    """The disk before it may have voted in this term."""
    network, _ = born(make_network(3))
    candidate, old, _ = network.addresses
    node, row = network.nodes[candidate], network.machines[candidate].admitted(old)
    assert row is not None
    index = node.journal.last_index + 1
    node.journal.add(admission_entry(Admit(old, "second", row.idx)), index, node.term)
    node.journal.add(admission_entry(Admit(old, row.instance, index)), index + 1, node.term)
    stand(network, candidate)
    vote(network, old, candidate)
    assert node.role == CANDIDATE
    vote(network, old, candidate, instance=row.instance, admitted=index + 1)
    assert node.role == LEADER
