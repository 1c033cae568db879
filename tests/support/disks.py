"""Nodes that lose their disks, on the network of raft_network.py."""

import shutil
from pathlib import Path

from lastunit_node.replica import timing
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.replica.syncobj import CANDIDATE
from support.raft_network import ListMachine, Network


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


def born(network: Network) -> tuple[Network, str]:
    """A cluster in which every disk is admitted, and an entry is committed; its leader."""
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


def put_aside(network: Network, address: str, folder: Path) -> ListMachine:
    """Kill a node, and keep what its disk holds; its machine."""
    machine = network.kill(address)
    for file in network.folder.glob(f"{address}.db*"):
        shutil.copy(file, folder / f"aside-{file.name}")
    return machine


def put_back(network: Network, address: str, folder: Path) -> None:
    """Kill a node, and put what was kept in the place of its disk."""
    network.kill(address)
    for file in network.folder.glob(f"{address}.db*"):
        file.unlink()
    for file in folder.glob(f"aside-{address}.db*"):
        shutil.copy(file, network.folder / file.name.removeprefix("aside-"))


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
