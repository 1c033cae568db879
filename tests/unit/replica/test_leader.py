"""What a node forgets of its followers, and of what it sent them, when it is elected again."""

from collections.abc import Callable

import pytest
from support.disks import stand
from support.raft_network import Network

from lastunit_node.replica.raft import Raft
from lastunit_node.replica.syncobj import LEADER

MakeNetwork = Callable[[int], Network]


def known(network: Network) -> Raft:
    """A leader that knows all its followers to have all of its log."""
    node = network.nodes[network.elect()]
    network.commit(node.selfNode.id, [b"a", b"b"])
    network.run_until(lambda: set(node.known_match_indexes()) == {node.journal.last_index})
    return node


def elect_again(network: Network, node: Raft) -> None:
    """In the next term, by everybody's vote."""
    stand(network, node.selfNode.id)
    node.count_votes(len(network.nodes))
    assert node.role == LEADER


@pytest.mark.parametrize("count", [3, 5])
def test_what_followers_acknowledged_in_an_earlier_term_is_forgotten(make_network: MakeNetwork, count: int) -> None:
    """They may have cut it since, for another leader: the commit rule counts nothing of it."""
    network = make_network(count)
    node = known(network)
    elect_again(network, node)
    assert set(node._SyncObj__raftMatchIndex.values()) == {0}
    assert set(node.known_match_indexes()) == {0}
    commit = node.commit_index
    node.turn(0.0)
    assert node.commit_index == commit, "nobody has answered in this term"


def test_a_message_of_an_earlier_term_is_not_sent_again(make_network: MakeNetwork) -> None:
    """Its one entry was cut for another leader, and the no-op of the new term is in the same place."""
    network = make_network(3)
    node = known(network)
    place = node.journal.last_index + 1
    node.propose(b"cut", None)
    node.turn(0.0)
    node.journal.cut_from(place)
    elect_again(network, node)
    network.queue.clear()
    node.turn(0.0)
    sent = [message for _, _, message in network.queue if message["type"] == "append"]
    expected = (node.term, node.journal.entries(place, place + 1))
    assert [(message["term"], message["entries"]) for message in sent] == [expected] * 2
