"""A disk that lost what it acknowledged: the leader counts on it, and would wait for it for ever."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.raft_network import ListMachine, Network

from lastunit_node.replica.journal import JournalDamaged

MakeNetwork = Callable[[int], Network]


def with_an_entry(network: Network) -> tuple[Network, str, str]:
    """The network once all nodes have an entry, its leader, and a follower."""
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    return network, leader, next(address for address in network.addresses if address != leader)


def aged(network: Network, address: str, entries: int) -> None:
    """Kill a node and start it from what its disk held before the last entries, which it acknowledged."""
    older = network.folder / "older"
    shutil.copytree(network.folder, older)
    before = ListMachine()
    before.applied = list(network.machines[address].applied)
    leader = network.leader()
    assert leader not in (None, address)
    network.commit(str(leader), [b"%d" % number for number in range(entries)])
    network.run_until(network.level)
    network.kill(address)
    for file in network.folder.glob(f"{address}.db*"):
        file.unlink()
    for file in older.glob(f"{address}.db*"):
        shutil.copy(file, network.folder / Path(file).name)
    network.start(address, before)


@pytest.mark.parametrize("trims", [False, True])
def test_a_node_that_lost_what_it_acknowledged_stops(make_network: MakeNetwork, trims: bool) -> None:
    network, leader, follower = with_an_entry(make_network(3))
    aged(network, follower, 5)
    if trims:
        journal = network.nodes[leader].journal
        journal.trim(journal.last_index, journal.last_index)
    with pytest.raises(JournalDamaged, match=r"ends at index 2, .* acknowledged everything up to 7"):
        network.run_until(network.level)


def test_a_node_that_lost_nothing_goes_on(make_network: MakeNetwork) -> None:
    network, leader, follower = with_an_entry(make_network(3))
    aged(network, follower, 0)
    network.commit(leader, [b"b"])
    network.run_until(network.level)
