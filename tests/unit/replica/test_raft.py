"""The hazards of stock PySyncObj (ARCHITECTURE.md has the table), one test each, on the real core in virtual time."""

from collections.abc import Callable
from typing import Any

import pytest
from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node
from support.raft_network import ListMachine, Network

from lastunit_node.replica import timing
from lastunit_node.replica.core import nobody_waits
from lastunit_node.replica.leader import MAX_APPEND_BYTES, MAX_APPEND_ENTRIES
from lastunit_node.replica.raft import MAX_QUEUED_PROPOSALS
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.results import Applied

MakeNetwork = Callable[[int], Network]


def others(network: Network, address: str) -> list[str]:
    return [peer for peer in network.addresses if peer != address]


def test_every_node_applies_the_same_entries_with_their_own_index_and_term(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    assert network.commit(leader, [b"a", b"b"]) == [FAIL_REASON.SUCCESS] * 2
    network.run_until(network.level)
    journal = network.nodes[leader].journal
    expected = [(index, term, data) for data, index, term in journal.entries(1, journal.last_index + 1)]
    assert [data for _, _, data in expected if data != b"\x01"] == [b"a", b"b"]
    assert all(machine.applied == expected for machine in network.machines.values())


@pytest.mark.parametrize("stranded", [1, 5, 50])
@pytest.mark.parametrize(("count", "size"), [(200, 1_000), (20, 100_000)])
def test_a_rejoining_node_catches_up(make_network: MakeNetwork, stranded: int, count: int, size: int) -> None:
    """The first row: an isolated leader keeps uncommitted entries, the others commit many, one of them restarts."""
    network = make_network(3)
    old = network.elect()
    network.commit(old, [b"before"])
    network.isolate(old)
    for number in range(stranded):
        network.nodes[old].propose(b"stranded %d" % number, None)
    network.round()
    assert network.nodes[old].journal.last_index == network.nodes[old].commit_index + stranded
    new = network.elect(excluding=old)
    network.commit(new, [bytes(size)] * count)
    restarted = others(network, old)[0]
    network.start(restarted, network.kill(restarted))
    network.elect(excluding=old)
    network.heal()
    assert network.run_until(network.level) < 2.0
    assert len({tuple(machine.applied) for machine in network.machines.values()}) == 1
    assert not any(entry.startswith(b"stranded") for _, _, entry in network.machines[old].applied)


def test_an_append_that_overlaps_the_log_cuts_nothing(make_network: MakeNetwork, monkeypatch: Any) -> None:
    network = make_network(3)
    leader = network.elect()
    network.commit(leader, [b"a", b"b", b"c"])
    network.run_until(network.level)
    follower = network.nodes[others(network, leader)[0]]
    monkeypatch.setattr(follower.journal, "cut_from", lambda index: pytest.fail(f"cut at {index}"))
    entries = follower.journal.entries(1, 3)
    for overlapping in (entries[:0], entries):
        message = append(network.nodes[leader], prev_index=0, prev_term=0, entries=overlapping)
        follower.on_message(Node(leader), message)
    assert follower.journal.last_index == 4


def test_followers_at_the_same_place_are_sent_the_same_message(make_network: MakeNetwork) -> None:
    """Not an equal one: the link encodes it once. Who is behind, or is to hear of another commit, gets its own."""
    network = make_network(3)
    leader = network.nodes[network.elect()]
    network.run_until(network.level)
    for isolated, expected in ((None, 1), (leader.peers[0].id, 2)):
        if isolated:
            network.isolate(isolated)
            network.commit(leader.selfNode.id, [b"missed"])
            network.heal()
        leader.propose(b"entry", None)
        leader.turn(0.0)
        sent = [message for sender, _, message in network.queue if sender == leader.selfNode.id]
        assert len(sent) == 2
        assert len({id(message) for message in sent}) == expected
        network.run_until(network.level)


def append(leader: Any, **fields: Any) -> dict[str, Any]:
    message = {"type": "append", "term": leader.term, "prev_index": 0, "prev_term": 0, "entries": []}
    return message | {"commit_index": leader.commit_index, "log_start": 0} | fields


def test_a_follower_commits_no_more_than_the_message_proved(make_network: MakeNetwork) -> None:
    """Its own tail may differ from the leader's: an empty message about an early index says nothing about it."""
    network = make_network(3)
    old = network.elect()
    network.isolate(old)
    network.nodes[old].propose(b"stranded", None)
    network.round()
    node = network.nodes[old]
    stranded = node.journal.last_index
    message = append(node, term=node.term + 1, prev_index=1, prev_term=1, commit_index=stranded)
    node.on_message(Node(others(network, old)[0]), message)
    assert node.commit_index == 1


def test_what_was_cut_for_a_newer_leader_in_the_same_turn_is_not_acknowledged(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    name, newer = others(network, leader)
    follower, last, term = network.nodes[name], network.nodes[name].journal.last_index, network.nodes[name].term
    sent: list[dict[str, Any]] = []
    network.transports[name].on_send = sent.append
    place = {"prev_index": last, "prev_term": term}
    follower.on_message(
        Node(leader), append(follower, **place, entries=[(b"b", last + 1, term), (b"c", last + 2, term)])
    )
    follower.on_message(Node(newer), append(follower, **place, term=term + 1, entries=[(b"other", last + 1, term + 1)]))
    follower._follower.flush()
    assert [(message["term"], message["last"]) for message in sent] == [(term + 1, last + 1)]


def test_a_conflict_with_a_committed_entry_stops_the_node(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    follower = network.nodes[others(network, leader)[0]]
    last, newer = follower.journal.last_index, follower.term + 1
    for fields in (
        {"prev_index": last - 1, "prev_term": follower.journal.term_at(last - 1), "entries": [(b"other", last, newer)]},
        {"prev_index": last, "prev_term": newer},
    ):
        with pytest.raises(InvariantError, match=f"differs at index {last}"):
            follower.on_message(Node(leader), append(network.nodes[leader], term=newer, **fields))


@pytest.mark.parametrize("field", ["last", "prev_index"])
def test_an_acknowledgement_of_more_than_the_log_is_not_counted(make_network: MakeNetwork, field: str) -> None:
    """Stock PySyncObj commits everything on an acknowledgement of 998 for a log of 3 entries."""
    network = make_network(3)
    leader = network.elect()
    network.isolate(leader)
    node = network.nodes[leader]
    node.propose(b"a", None)
    node.turn(0.0)
    commit_before = node.commit_index
    answer = {"type": "append_response", "term": node.term, "prev_index": 2, "success": True, "last": 2} | {field: 998}
    network.say(others(network, leader)[0], leader, answer)
    node.turn(0.0)
    assert node.commit_index == commit_before


def test_an_acknowledgement_from_an_earlier_term_is_not_counted(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    network.isolate(leader)
    node = network.nodes[leader]
    node.propose(b"a", None)
    node.turn(0.0)
    last, commit_before = node.journal.last_index, node.commit_index
    for term, counted in ((node.term - 1, False), (node.term, True)):
        answer = {"type": "append_response", "term": term, "prev_index": last - 1, "success": True, "last": last}
        network.say(others(network, leader)[0], leader, answer)
        node.turn(0.0)
        assert (node.commit_index > commit_before) is counted


def test_entries_are_durable_before_they_are_acknowledged_or_applied(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    for address, node in network.nodes.items():

        def check(message: dict[str, Any], node: Any = node) -> None:
            if message["type"] == "append_response" and message["success"]:
                assert node.journal.durable_index >= message["last"]

        def apply(
            index: int, term: int, entry: bytes, node: Any = node, apply: Any = network.machines[address].apply
        ) -> Any:
            assert node.journal.durable_index >= index
            return apply(index, term, entry)

        network.transports[address].on_send = check
        network.machines[address].apply = apply  # type: ignore[method-assign]
    network.commit(leader, [bytes(100)] * 20)
    network.run_until(network.level)


def test_acknowledged_entries_survive_a_kill_of_every_node(make_network: MakeNetwork) -> None:
    network = make_network(3)
    entries = [b"%d" % number for number in range(50)]
    network.commit(network.elect(), entries)
    machines = {address: network.kill(address) for address in network.addresses}
    for address in network.addresses:
        network.start(address, machines[address])
    network.elect()
    network.run_until(network.level)
    for machine in network.machines.values():
        assert [entry for _, _, entry in machine.applied if entry != b"\x01"] == entries


def test_an_exception_while_applying_escapes_the_turn(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()

    def fail(index: int, term: int, entry: bytes) -> Applied:
        raise OSError("disk")

    network.machines[leader].apply = fail  # type: ignore[method-assign]
    network.nodes[leader].propose(b"a", None)
    with pytest.raises(OSError, match="disk"):
        network.run_until(lambda: False)


def test_a_proposal_on_an_isolated_leader_is_discarded_when_another_took_its_place(make_network: MakeNetwork) -> None:
    network = make_network(3)
    old = network.elect()
    network.isolate(old)
    outcomes: list[tuple[Any, int]] = []
    network.nodes[old].propose(b"stranded", lambda applied, reason: outcomes.append((applied, reason)))
    new = network.elect(excluding=old)
    network.commit(new, [b"instead"])
    network.heal()
    network.run_until(lambda: bool(outcomes))
    assert outcomes == [(None, FAIL_REASON.DISCARDED)]


def test_a_forwarded_proposal_is_answered_by_the_followers_own_apply(make_network: MakeNetwork) -> None:
    network = make_network(3)
    follower = others(network, network.elect())[0]
    assert network.commit(follower, [b"a"]) == [FAIL_REASON.SUCCESS]
    assert network.machines[follower].applied[-1][2] == b"a"


def test_a_forwarded_proposal_ends_when_the_leaders_connection_breaks(make_network: MakeNetwork) -> None:
    network = make_network(3)
    leader = network.elect()
    follower = others(network, leader)[0]
    network.run_until(network.level)
    outcomes: list[int] = []
    network.nodes[follower].propose(b"a", lambda _applied, reason: outcomes.append(reason))
    network.nodes[follower].turn(0.0)
    network.kill(leader)
    assert outcomes == [FAIL_REASON.LEADER_CHANGED]


def test_one_that_cannot_be_forwarded_is_refused_at_once_and_for_certain(make_network: MakeNetwork) -> None:
    """PySyncObj does not look whether the leader is connected: it would wait for an answer to what never left."""
    network = make_network(3)
    follower = others(network, network.elect())[0]
    network.run_until(network.level)
    network.isolate(follower)
    outcomes: list[int] = []
    network.nodes[follower].propose(b"a", lambda _applied, reason: outcomes.append(reason))
    network.nodes[follower].turn(0.0)
    assert outcomes == [FAIL_REASON.MISSING_LEADER]


def test_an_answer_to_an_earlier_boot_is_not_taken_for_ours(make_network: MakeNetwork) -> None:
    """Stock request ids restart at 1: command B was answered with A's success and is in no log."""
    network = make_network(3)
    leader = network.elect()
    follower = others(network, leader)[0]
    network.run_until(network.level)

    def forwarded_request_id() -> int:
        network.nodes[follower].propose(b"a", lambda *outcome: outcomes.append(outcome))
        network.nodes[follower].turn(0.0)
        return int(next(m for _, _, m in reversed(network.queue) if m["type"] == "apply_command")["request_id"])

    outcomes: list[Any] = []
    first = forwarded_request_id()
    network.start(follower, network.kill(follower))
    network.run_until(lambda: network.nodes[follower].leader is not None)
    assert forwarded_request_id() != first
    outcomes.clear()
    stale = {"type": "apply_command_response", "request_id": first, "log_idx": 2, "log_term": 1}
    network.nodes[follower].on_message(Node(leader), stale)
    assert outcomes == []


def test_a_follower_where_a_caller_waits_hears_of_the_commit_before_the_leader_applies(
    make_network: MakeNetwork,
) -> None:
    network = make_network(3)
    leader = network.elect()
    asked, other = others(network, leader)
    network.run_until(network.level)
    network.run_until(lambda: not network.queue)
    machine = network.machines[leader]
    told: list[str] = []

    def watched(index: int, term: int, entry: bytes) -> Applied:
        told.extend(receiver for _, receiver, message in network.queue if message.get("commit_index") == index)
        return ListMachine.apply(machine, index, term, entry)

    machine.apply = watched  # type: ignore[method-assign]
    assert network.commit(asked, [b"a"]) == [FAIL_REASON.SUCCESS]
    assert told == [asked]
    network.run_until(network.level)
    assert network.machines[other].applied == machine.applied


def test_a_proposal_without_a_leader_fails_at_once(make_network: MakeNetwork) -> None:
    network = make_network(3)
    reasons: list[int] = []
    network.nodes[network.addresses[0]].propose(b"a", lambda _applied, reason: reasons.append(reason))
    network.nodes[network.addresses[0]].turn(0.0)
    assert reasons == [FAIL_REASON.MISSING_LEADER]


def test_proposals_over_the_bound_of_the_queue_are_refused_at_once(make_network: MakeNetwork) -> None:
    """Stock PySyncObj raises for a full pipe after it has queued the command."""
    network = make_network(3)
    node = network.nodes[network.elect()]
    reasons: list[int] = []
    for _ in range(MAX_QUEUED_PROPOSALS + 3):
        node.propose(b"a", lambda _applied, reason: reasons.append(reason))
    assert reasons == [FAIL_REASON.QUEUE_FULL] * 3
    network.run_until(lambda: len(reasons) == MAX_QUEUED_PROPOSALS + 3)
    assert reasons[3:] == [FAIL_REASON.SUCCESS] * MAX_QUEUED_PROPOSALS


@pytest.mark.parametrize(("count", "size"), [(3 * MAX_APPEND_ENTRIES, 1), (12, MAX_APPEND_BYTES // 5)])
def test_a_message_holds_so_many_entries_and_bytes_and_entries_of_any_size_arrive(
    make_network: MakeNetwork, count: int, size: int
) -> None:
    """Stock PySyncObj cuts entries of 64 kB and more at the wrong place: they never arrive."""
    network = make_network(3)
    leader = network.elect()
    behind = others(network, leader)[0]
    network.isolate(behind)
    for _ in range(0, count, MAX_QUEUED_PROPOSALS):
        network.commit(leader, [bytes(size)] * min(count, MAX_QUEUED_PROPOSALS))
    sent: list[list[Any]] = []
    network.transports[leader].on_send = lambda message: sent.append(message.get("entries", []))
    network.heal()
    assert network.run_until(network.level) < 2.0
    assert max(len(entries) for entries in sent) <= MAX_APPEND_ENTRIES
    assert max(sum(len(data) for data, _, _ in entries) for entries in sent) < MAX_APPEND_BYTES + size
    assert network.machines[behind].applied == network.machines[leader].applied


def test_a_backlog_is_applied_in_turns_of_bounded_length(make_network: MakeNetwork) -> None:
    """Stock PySyncObj applies everything at once, without a heartbeat in between."""
    network = make_network(3)
    leader = network.elect()
    machine = network.machines[leader]

    def slow(index: int, term: int, entry: bytes) -> Any:
        network.time.now += timing.APPLY_PER_TURN / 4
        return ListMachine.apply(machine, index, term, entry)

    machine.apply = slow  # type: ignore[method-assign]
    for _ in range(30):
        network.nodes[leader].propose(b"x", None)
    node, most = network.nodes[leader], 0
    while node.last_applied < 31:
        before = node.last_applied
        network.round()
        most = max(most, node.last_applied - before)
    assert 0 < most <= 5


def test_own_term_entries_only_are_committed_by_counting(make_network: MakeNetwork) -> None:
    """Raft, section 5.4.2: an entry of an earlier term is committed only by one of the leader's own term after it."""
    network = make_network(3)
    old = network.elect()
    network.isolate(old)
    network.nodes[old].propose(b"early", None)
    network.nodes[old].turn(0.0)
    node = network.nodes[old]
    early = node.journal.last_index
    node.set_term(node.term + 5, node.selfNode.id)
    node._SyncObj__onBecomeLeader()
    peer = others(network, old)[0]
    answer = {"type": "append_response", "term": node.term, "prev_index": early - 1, "success": True, "last": early}
    network.say(peer, old, answer)
    node.turn(0.0)
    assert node.commit_index < early
    network.say(peer, old, answer | {"prev_index": early, "last": early + 1})
    node.turn(0.0)
    assert node.commit_index == early + 1


def test_a_leaders_own_tick_that_comes_too_late_offends_nobody(make_network: MakeNetwork) -> None:
    """It was unseated between proposing a Tick and adding it: PySyncObj forwards the Tick to the new leader."""
    network = make_network(3)
    old = network.elect()
    network.run_until(network.level)
    network.nodes[old].propose(b"tick", nobody_waits)
    network.nodes[old].become_follower(Node(others(network, old)[0]))
    network.run_until(network.level)
    assert all(transport.disconnected == [] for transport in network.transports.values())
