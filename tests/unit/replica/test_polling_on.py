"""What ends the poll of a leader's turn: anything but the last acknowledgement of what is committed without it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from support.raft_network import Network

from lastunit_node.replica.raft import Raft

MakeNetwork = Callable[[int], Network]
WAIT = 0.02  # seconds, of a poll
PASSES = 0.005  # in each


class Polls:
    """A leader whose polls bring what a test says, one after another, and then nothing."""

    def __init__(self, network: Network, leader: Raft, *brought: Callable[[], object]) -> None:
        self.waits: list[float] = []
        self._network, self._brought = network, iter(brought)
        leader.poller.poll = self._poll

    def _poll(self, timeout: float) -> None:
        self.waits.append(round(timeout, 6))
        self._network.time.now += PASSES
        next(self._brought, lambda: None)()


@contextmanager
def one_entry_at(network: Network) -> Iterator[tuple[Raft, list[Callable[[], None]]]]:
    """A leader with one entry more than its followers have acknowledged, and their acknowledgements."""
    leader = network.nodes[network.elect()]
    network.run_until(network.level)
    network.round()
    leader.propose(b"entry", None)
    leader.turn(0.0)
    network.deliver()
    for node in network.nodes.values():
        node._follower.flush()
    answers = [(sender, message) for sender, _, message in network.queue]
    assert [message["type"] for _, message in answers] == ["append_response"] * 2
    network.queue.clear()
    transport = network.transports[leader.selfNode.id]
    yield leader, [partial(transport.receive, *answer) for answer in answers]


def test_the_last_acknowledgement_lets_the_poll_go_on_for_the_rest_of_its_time(make_network: MakeNetwork) -> None:
    network = make_network(3)
    with one_entry_at(network) as (leader, (first, last)):
        first()
        polls = Polls(network, leader, last)
        leader.turn(WAIT)
        assert leader.last_applied == leader.journal.last_index
        assert polls.waits == [WAIT, WAIT - PASSES]
        assert leader.known_match_indexes() == [leader.journal.last_index] * 2


def test_the_one_that_commits_ends_it(make_network: MakeNetwork) -> None:
    network = make_network(3)
    with one_entry_at(network) as (leader, (first, last)):
        polls = Polls(network, leader, first, last)
        leader.turn(WAIT)
        assert polls.waits == [WAIT]
        leader.turn(WAIT)
        assert leader.last_applied == leader.journal.last_index
        assert polls.waits == [WAIT, WAIT, WAIT - PASSES]


@pytest.mark.parametrize("more", ["a proposal", "a proposal of a follower", "a lost connection", "a transfer"])
def test_whatever_else_comes_ends_it(make_network: MakeNetwork, more: str) -> None:
    network = make_network(3)
    with one_entry_at(network) as (leader, (first, last)):
        first()
        name, peer = leader.selfNode.id, leader.peers[0]
        transport = network.transports[name]
        request = {"type": "apply_command", "command": b"other", "request_id": 1}
        causes: dict[str, Callable[[], object]] = {
            "a proposal": lambda: leader.waker._on_asked(0, 0),
            "a proposal of a follower": lambda: transport.receive(peer.id, request),
            "a lost connection": lambda: transport.connected(peer.id, False),
            "a transfer": lambda: leader.begin_transfer(None),
        }
        polls = Polls(network, leader, lambda: (causes[more](), last()))
        leader.waker.notify()
        leader.turn(WAIT)
        assert polls.waits == [WAIT]
