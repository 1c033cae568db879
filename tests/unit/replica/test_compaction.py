"""What the journal forgets, and what it must not."""

from pathlib import Path
from typing import Any

import pytest
from support.raft_network import Network

from lastunit_node.replica import compaction
from lastunit_node.replica.checkpoints import CheckpointsInTurn
from lastunit_node.replica.compaction import Compactor, oldest_to_keep
from lastunit_node.replica.journal import JournalDamaged, SqliteJournal
from lastunit_node.replica.journal_file import create_journal

OWNER = ("cluster-id", "n1")
MARGIN, SLOW, TOO_MANY = compaction.MARGIN_ENTRIES, compaction.SLOW_MARGIN_ENTRIES, compaction.MAX_BYTES + 1
FULL = compaction.FULL_BYTES + 1


@pytest.mark.parametrize(
    ("applied", "last", "followers", "size", "oldest"),
    [
        (10, 10, [], 0, 0),
        (5 * MARGIN, 5 * MARGIN, [], 0, 4 * MARGIN),
        (5 * MARGIN, 5 * MARGIN, [5 * MARGIN], 0, 4 * MARGIN),
        (MARGIN // 2, 5 * MARGIN, [], 0, MARGIN // 2),
        (5 * MARGIN, 5 * MARGIN, [2 * MARGIN, 5 * MARGIN], 0, 2 * MARGIN),
        (9 * MARGIN, 9 * MARGIN, [0], 0, 9 * MARGIN - SLOW),
        (9 * MARGIN, 9 * MARGIN, [], TOO_MANY, 9 * MARGIN),
        (9 * MARGIN, 9 * MARGIN, [0], TOO_MANY, 8 * MARGIN),
        (9 * MARGIN, 9 * MARGIN, [9 * MARGIN - 5], TOO_MANY, 9 * MARGIN - 5),
        (8 * MARGIN, 9 * MARGIN, [7 * MARGIN], FULL, 8 * MARGIN),
    ],
)
def test_the_oldest_entry_to_keep(applied: int, last: int, followers: list[int], size: int, oldest: int) -> None:
    assert oldest_to_keep(applied, last, followers, size) == oldest


@pytest.mark.parametrize(
    ("size", "held", "oldest"),
    [
        (0, 10, 10),
        (0, 9 * MARGIN, 8 * MARGIN),
        (TOO_MANY, 10, 10),
        (TOO_MANY, 9 * MARGIN, 9 * MARGIN),
        (FULL, 10, 9 * MARGIN),
    ],
)
def test_what_follows_a_copy_is_kept_beyond_the_margins(size: int, held: int, oldest: int) -> None:
    assert oldest_to_keep(9 * MARGIN, 9 * MARGIN, [9 * MARGIN], size, held) == oldest


class FakeMachine:
    """A state whose checkpoints can be held back."""

    def __init__(self) -> None:
        self.applied_index = self.committed_index = 0
        self.may_checkpoint = True

    def commit(self) -> None:
        self.committed_index = self.applied_index

    def checkpoint(self) -> bool:
        return self.may_checkpoint


@pytest.fixture
def small_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MARGIN_ENTRIES", 10)
    monkeypatch.setattr(compaction, "SLOW_MARGIN_ENTRIES", 40)
    monkeypatch.setattr(compaction, "PIECE_ENTRIES", 5)


def journal_of(folder: Path, count: int) -> SqliteJournal:
    create_journal(folder / "journal.db", *OWNER)
    journal = SqliteJournal(folder / "journal.db", *OWNER)
    for index in range(1, count + 1):
        journal.add(b"x" * 10, index, 1)
    journal.sync()
    return journal


def trimmed(compactor: Compactor, journal: SqliteJournal, followers: list[int], now: float) -> int:
    for step in range(100):
        compactor.step(now + step, followers)
    return journal.first_index


@pytest.mark.usefixtures("small_margins")
def test_it_trims_in_pieces_what_a_durable_state_has_applied(tmp_path: Path) -> None:
    journal, machine = journal_of(tmp_path, 100), FakeMachine()
    compactor = Compactor(journal, machine, CheckpointsInTurn(machine))  # type: ignore[arg-type]
    machine.applied_index, machine.may_checkpoint = 100, False
    assert trimmed(compactor, journal, [], 0.0) == 0, "applied, but not durable"
    machine.may_checkpoint = True
    compactor.step(200.0, [])
    compactor.step(200.1, [])
    assert journal.first_index == 5, "one piece a turn"
    assert trimmed(compactor, journal, [], 300.0) == 90
    assert journal.size == 110
    for index in range(101, 105):
        journal.add(b"x" * 10, index, 1)
    machine.applied_index = 104
    assert trimmed(compactor, journal, [], 400.0) == 90, "less than a piece is not worth a transaction"
    journal.cut_from(101)
    assert journal.size == 110
    journal.close()
    again = SqliteJournal(tmp_path / "journal.db", *OWNER)
    assert (again.first_index, again.last_index, again.size) == (90, 100, 110)
    assert again.entries(0, 200)[0][1] == 90
    assert again.term_at(89) is None


@pytest.mark.usefixtures("small_margins")
def test_entries_behind_a_copy_under_way_are_held(tmp_path: Path) -> None:
    journal, machine = journal_of(tmp_path, 100), FakeMachine()
    compactor = Compactor(journal, machine, CheckpointsInTurn(machine))  # type: ignore[arg-type]
    machine.applied_index = 100
    compactor.hold(20, until=1_000.0)
    assert trimmed(compactor, journal, [], 0.0) == 20, "more than the margin for slow followers"
    assert trimmed(compactor, journal, [], 1_000.0) == 90


@pytest.mark.usefixtures("small_margins")
def test_entries_behind_each_of_two_copies_under_way_are_held(tmp_path: Path) -> None:
    """Two nodes are behind: the copy of the second one must not cost the first one what follows its own."""
    journal, machine = journal_of(tmp_path, 100), FakeMachine()
    compactor = Compactor(journal, machine, CheckpointsInTurn(machine))  # type: ignore[arg-type]
    machine.applied_index = 100
    compactor.hold(20, until=500.0)
    compactor.hold(60, until=2_000.0)
    compactor.hold(20, until=1_000.0)  # it got on
    assert trimmed(compactor, journal, [], 0.0) == 20
    assert trimmed(compactor, journal, [], 600.0) == 20
    assert trimmed(compactor, journal, [], 1_000.0) == 60
    assert trimmed(compactor, journal, [], 2_000.0) == 90


def test_a_journal_that_lost_its_first_entries_is_damaged(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 10)
    journal.trim(5, 100)
    journal._connection.execute("DELETE FROM entry WHERE idx = 5")
    journal._connection.close()
    with pytest.raises(JournalDamaged, match="entry 5 is missing"):
        SqliteJournal(tmp_path / "journal.db", *OWNER)


@pytest.mark.parametrize(("index", "term", "kept"), [(6, 1, [6, 7, 8, 9, 10]), (6, 2, [6]), (50, 3, [50])])
def test_an_installed_copy_keeps_the_tail_only_where_the_logs_agree(
    tmp_path: Path, index: int, term: int, kept: list[int]
) -> None:
    journal = journal_of(tmp_path, 10)
    journal.setCurrentTerm(4, "n2")
    journal.install("state-new.db", index, term)
    for opened in (journal, SqliteJournal(tmp_path / "journal.db", *OWNER)):
        assert [entry[1] for entry in opened.entries(0, 99)] == kept
        assert (opened.first_index, opened.term_at(index), opened.state_file) == (index, term, "state-new.db")
        assert (opened.getCurrentTerm(), opened.getVotedForNodeId()) == (4, "n2")


def test_a_node_behind_the_leaders_log_is_told_and_changes_nothing(make_network: "type[Network]") -> None:
    network: Network = make_network(3)  # type: ignore[call-arg, arg-type]
    leader = network.elect()
    cut_off = next(address for address in network.addresses if address != leader)
    network.isolate(cut_off)
    network.commit(leader, [b"%d" % number for number in range(20)])
    node = network.nodes[leader]
    node.journal.trim(15, 100)
    before = (network.nodes[cut_off].journal.last_index, network.nodes[cut_off].commit_index)
    network.heal()
    network.run_until(lambda: network.nodes[cut_off].is_behind)
    assert (network.nodes[cut_off].journal.last_index, network.nodes[cut_off].commit_index) == before
    assert network.leader() == leader
    assert node.has_quorum
    assert all(transport.disconnected == [] for transport in network.transports.values())


def test_a_node_that_installed_a_copy_follows_from_there(make_network: "type[Network]") -> None:
    network: Network = make_network(3)  # type: ignore[call-arg, arg-type]
    leader = network.elect()
    cut_off = next(address for address in network.addresses if address != leader)
    network.isolate(cut_off)
    network.commit(leader, [b"%d" % number for number in range(20)])
    network.nodes[leader].journal.trim(15, 100)
    network.heal()
    network.run_until(lambda: network.nodes[cut_off].is_behind)
    machine = network.kill(cut_off)
    machine.applied[:] = network.machines[leader].applied[:18]
    journal = SqliteJournal(network.file(cut_off), "cluster-id", cut_off)
    journal.install("state-18.db", 18, machine.applied[-1][1])
    journal.close()
    network.start(cut_off, machine)
    assert network.run_until(network.level) < 1.0
    network.commit(leader, [b"after"])
    network.run_until(network.level)
    assert network.machines[cut_off].applied == network.machines[leader].applied
    assert not any(node.is_behind for node in network.nodes.values())


def replace_a_leader(network: Network, *, uncommitted: int) -> tuple[str, str]:
    """A leader that committed ten entries, cut off and restarted with an old state and a tail of its own; a later one,
    whose own term begins behind that tail.
    """
    old = network.elect()
    network.commit(old, [b"%d" % number for number in range(10)])
    network.run_until(network.level)
    network.isolate(old)
    node = network.nodes[old]
    for number in range(uncommitted):
        node.propose(b"tail-%d" % number, None)
    network.round()
    node.journal.sync()
    machine = network.kill(old)
    del machine.applied[3:]
    network.start(old, machine)
    next_leader = network.elect(excluding=old)
    network.commit(next_leader, [b"other-%d" % number for number in range(20)])
    network.nodes[next_leader].begin_transfer(None)
    network.run_until(lambda: network.leader() not in (None, old, next_leader))
    new = network.leader()
    assert new is not None
    return old, new


def test_a_tail_that_conflicts_is_found_though_its_term_began_before_the_leaders_log(
    make_network: "type[Network]",
) -> None:
    network: Network = make_network(3)  # type: ignore[call-arg, arg-type]
    old, new = replace_a_leader(network, uncommitted=3)
    network.nodes[new].journal.trim(6, 100)
    network.heal()
    assert network.run_until(network.level) < 2.0
    assert network.machines[old].applied == network.machines[new].applied


def test_a_node_whose_tail_conflicts_where_the_leaders_log_starts_is_behind(make_network: "type[Network]") -> None:
    network: Network = make_network(3)  # type: ignore[call-arg, arg-type]
    old, new = replace_a_leader(network, uncommitted=12)
    network.nodes[new].journal.trim(16, 100)
    network.heal()
    network.run_until(lambda: network.nodes[old].is_behind)
    assert network.leader() == new


def test_a_node_behind_the_leaders_log_is_not_told_of_commits_though_a_caller_waits_there(
    make_network: "type[Network]",
) -> None:
    network: Network = make_network(3)  # type: ignore[call-arg, arg-type]
    leader = network.elect()
    network.commit(leader, [b"a"])
    network.run_until(network.level)
    node = network.nodes[leader]
    slow = node.peers[0]
    sent: list[dict[str, Any]] = []
    network.transports[leader].on_send = sent.append
    progress = node._leader._progress[slow]
    for number in range(10):
        node.journal.add(b"%d" % number, node.journal.last_index + 1, node.term)
    node.journal.sync()
    node.journal.trim(8, 100)
    assert not progress.probing
    progress.awaited = node.journal.last_index
    node.set_commit_index(node.journal.last_index)
    node._leader.tell_those_who_wait()
    assert [message for message in sent if message.get("prev_term", 0) is None] == []
