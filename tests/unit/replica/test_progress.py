"""What a leader believes of a follower, answer by answer."""

from collections.abc import Callable
from typing import Any

import pytest
from support.raft_network import Network

from lastunit_node.replica import progress as progress_module
from lastunit_node.replica import timing
from lastunit_node.replica.core import nobody_waits
from lastunit_node.replica.progress import Progress


def replicating(match: int) -> Progress:
    progress = Progress(next=match + 1)
    progress.succeeded(match, "disk")
    return progress


def test_a_probe_is_one_message_until_it_is_answered() -> None:
    progress = Progress(next=10)
    assert progress.may_send_entries
    progress.sent(12, 100, commit=0, now=0.0)
    assert not progress.may_send_entries
    assert progress.next == 10, "a probe does not move next: it may be lost"
    assert progress.rejected(9, 7)
    assert progress.may_send_entries


def test_a_probe_that_was_lost_is_made_up_for_by_the_next_heartbeat(make_network: Callable[[int], Network]) -> None:
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    follower = next(node for node in network.addresses if node != leader)
    network.isolate(follower)
    network.commit(leader, [b"a", b"b"])
    lost: list[dict[str, Any]] = []

    def lose_the_first(message: dict[str, Any]) -> bool:
        if lost or not message.get("entries"):
            return False
        lost.append(message)
        return True

    network.lose = lose_the_first
    network.heal()
    network.round()
    assert lost
    assert network.run_until(network.level) < 2 * timing.HEARTBEAT


def test_a_success_starts_the_pipeline() -> None:
    progress = Progress(next=10)
    progress.sent(12, 100, commit=0, now=0.0)
    progress.succeeded(12, "disk")
    assert (progress.match, progress.next, progress.probing) == (12, 13, False)
    progress.sent(20, 100, commit=0, now=0.0)
    assert (progress.next, progress.may_send_entries) == (21, True)


def test_next_never_moves_back_on_a_success() -> None:
    progress = replicating(5)
    progress.sent(50, 100, commit=0, now=0.0)
    progress.succeeded(3, "disk")
    assert (progress.match, progress.next) == (5, 51)
    progress.succeeded(20, "disk")
    assert (progress.match, progress.next) == (20, 51)


def test_a_rejection_at_or_below_match_is_stale() -> None:
    progress = replicating(5)
    assert not progress.rejected(5, 2)
    assert (progress.match, progress.next, progress.probing) == (5, 6, False)


def test_a_rejected_pipeline_goes_back_to_match_and_probes() -> None:
    progress = replicating(5)
    progress.sent(50, 100, commit=0, now=0.0)
    assert progress.rejected(20, 9)
    assert (progress.next, progress.probing) == (6, True)


def test_later_rejections_of_the_same_pipeline_change_nothing() -> None:
    """The answers to messages sent past the rejected one; stock PySyncObj followed the last of them for ever."""
    progress = replicating(5)
    for last in (20, 30, 40):
        progress.sent(last, 100, commit=0, now=0.0)
    assert progress.rejected(20, 7)
    assert not progress.rejected(30, 7)
    assert not progress.rejected(40, 7)
    assert progress.next == 6


def test_a_probe_follows_the_hint_but_never_below_match_nor_past_what_was_rejected() -> None:
    progress = Progress(next=100)
    assert progress.rejected(99, 40)
    assert progress.next == 41
    assert progress.rejected(40, 90)
    assert progress.next == 40
    progress.match = 30
    assert progress.rejected(39, 3)
    assert progress.next == 31


def test_a_follower_whose_log_ends_behind_the_leaders_start_is_probed_from_its_end() -> None:
    progress = replicating(5)
    progress.starts_after(8)
    assert (progress.previous, progress.match, progress.may_send_entries) == (8, 5, True)
    progress.starts_after(3)
    assert progress.previous == 5, "it was known to have more"


def test_what_is_in_flight_is_bounded_in_messages_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "MAX_IN_FLIGHT", 3)
    progress = replicating(0)
    for last in (1, 2, 3):
        assert progress.may_send_entries
        progress.sent(last, 10, commit=0, now=0.0)
    assert not progress.may_send_entries
    progress.succeeded(1, "disk")
    assert progress.may_send_entries
    monkeypatch.setattr(progress_module, "MAX_IN_FLIGHT", 64)
    monkeypatch.setattr(progress_module, "MAX_IN_FLIGHT_BYTES", 25)
    progress.sent(4, 10, commit=0, now=0.0)
    assert not progress.may_send_entries


def test_empty_messages_take_no_room() -> None:
    progress = replicating(5)
    for _ in range(1000):
        progress.sent(5, 0, commit=0, now=0.0)
    assert progress.may_send_entries


def test_a_broken_connection_forgets_what_was_in_flight() -> None:
    progress = replicating(5)
    progress.sent(50, progress_module.MAX_IN_FLIGHT_BYTES, commit=0, now=0.0)
    progress.become_probe()
    assert (progress.match, progress.next, progress.probing, progress.may_send_entries) == (5, 6, True, True)
    progress.succeeded(5, "disk")
    assert progress.may_send_entries


def test_a_commit_is_told_at_once_where_a_caller_waits_for_it_and_a_little_later_elsewhere() -> None:
    progress = replicating(5)
    progress.sent(6, 100, commit=5, now=0.0)
    assert not progress.commit_is_due(6, now=timing.COMMIT_NEWS_ALONE / 2), "the next entries may bring it"
    assert progress.commit_is_due(6, now=timing.COMMIT_NEWS_ALONE)
    progress.awaited = 6
    assert not progress.commit_is_due(5, now=0.0), "there is nothing new to tell"
    assert progress.commit_is_due(6, now=0.0)
    progress.sent(6, 0, commit=6, now=0.0)
    assert not progress.commit_is_due(6, now=1.0), "it has been told"


def test_entries_bring_a_newer_commit_index_only_now_and_then_where_nobody_waits() -> None:
    progress = replicating(5)
    progress.sent(6, 100, commit=5, now=0.0)
    assert progress.commit_to_tell(6, now=timing.COMMIT_NEWS / 2) == 5
    progress.sent(7, 100, commit=5, now=timing.COMMIT_NEWS / 2)
    assert progress.commit_to_tell(7, now=timing.COMMIT_NEWS) == 7, "sending entries puts it off no further"
    progress.awaited = 6
    assert progress.commit_to_tell(7, now=0.0) == 7
    progress.become_probe()
    assert progress.commit_to_tell(7, now=0.0) == 7, "the message that told it may be lost"


def test_after_a_lost_connection_a_leader_goes_on_where_the_follower_is_known_to_be(
    make_network: Callable[[int], Network],
) -> None:
    """Without a rejection first: what was under way on that connection is gone."""
    network = make_network(3)
    leader = network.elect()
    network.run_until(network.level)
    raft, follower = network.nodes[leader], next(node for node in network.addresses if node != leader)
    known = raft.journal.last_index
    raft.propose(b"lost", nobody_waits)
    raft.turn(0.0)
    network.isolate(follower)
    network.heal()
    raft.turn(0.0)
    appends = [message for _, receiver, message in network.queue if receiver == follower]
    assert [(message["type"], message["prev_index"]) for message in appends] == [("append", known)]
