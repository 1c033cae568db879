"""ReplicaCore: what of its turn the thread around it relies on."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.raft_network import ListTransport, Network, VirtualTime

from lastunit_node.replica import timing
from lastunit_node.replica.core import ReplicaCore, StartRefused, check_state_against_journal, nobody_waits
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, Line, ReceiveStock, Reserve
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.limits import MAX_ENTRY_BYTES, MAX_TICK

TICK_MS = 100
HOLDS = 30
TURNS_A_TICK = 50
APPLIED = 5  # the position of applied_index among the facts


class Link(ListTransport):
    """Nobody is there."""

    def start(self, _poller: object) -> None:
        """Nothing to listen to."""

    def on_tick(self) -> None:
        """Nobody to dial."""


@contextmanager
def replica(folder: Path, peers: Collection[str], sweep_size: int = 10) -> Iterator[ReplicaCore]:
    """A node, n1, of a new cluster; of its peers it hears nothing."""
    create_journal(folder / "journal.db", "cluster-id", "n1")
    with closing(open_state(folder / "state.db", identity=Identity("cluster-id", "n1"))) as state:
        core = ReplicaCore(
            "n1",
            peers,
            link=Link(Network(folder, 0, VirtualTime()), "n1"),
            journal=SqliteJournal(folder / "journal.db", "cluster-id", "n1"),
            state=state,
            configure=Configure(TICK_MS, 100, 100, 1_000, sweep_size),
        )
        yield core
        core.close()


def test_results_are_given_away_before_the_turn_waits_for_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every answer would wait for the next message of a peer, or for the poll to time out."""
    with replica(tmp_path, ["n2", "n3"]) as core:
        steps: list[str] = []
        monkeypatch.setattr(core._raft.poller, "poll", lambda _timeout: steps.append("poll"))
        core.before_each_poll(lambda: steps.append("results"))
        core.turn(0.0)
        core.turn(0.0)
    assert steps == ["results", "poll"] * 2


def test_no_request_id_is_one_of_an_earlier_boot(tmp_path: Path) -> None:
    with replica(tmp_path, ["n2", "n3"]) as core:
        first = core._raft._SyncObj__commandsLocalCounter
    with closing(SqliteJournal(tmp_path / "journal.db", "cluster-id", "n1")) as journal:
        assert first == (journal.boot - 1) << 32


def test_an_entry_over_the_bound_is_not_proposed(tmp_path: Path) -> None:
    with replica(tmp_path, ["n2", "n3"]) as core:
        core.propose(bytes(MAX_ENTRY_BYTES), nobody_waits)
        with pytest.raises(ValueError, match="over the bound"):
            core.propose(bytes(MAX_ENTRY_BYTES + 1), nobody_waits)


class Alone:
    """In Raft's place: this node leads alone, and what it proposes is applied at the turn's end, unless stalled."""

    leads, term = True, 1

    def __init__(self, core: ReplicaCore) -> None:
        self._machine = core._machine
        self.proposed: list[bytes] = []  # and not applied
        self.journal = self
        self.seconds = 0.0
        self.stalled = False
        self.hands_over = False

    def may_take_proposals(self) -> bool:
        """Whether what is proposed gets into the log."""
        return not self.hands_over

    def now(self) -> float:
        """Seconds."""
        return self.seconds

    @property
    def last_applied(self) -> int:
        """Index of the last entry applied."""
        return self._machine.applied_index

    @property
    def last_index(self) -> int:
        """Index of the last entry of the log."""
        return self.last_applied + len(self.proposed)

    def admissions_due(self) -> tuple[()]:
        """Nobody is to be admitted."""
        return ()

    def propose(self, entry: bytes, _callback: object) -> None:
        """Take an entry."""
        self.proposed.append(entry)

    def turn(self, _timeout: float) -> None:
        """Apply what was proposed."""
        while self.proposed and not self.stalled:
            self._machine.apply(self.last_applied + 1, self.term, self.proposed.pop(0))

    def known_match_indexes(self) -> tuple[()]:
        """There are no followers."""
        return ()


@contextmanager
def alone(folder: Path) -> Iterator[tuple[ReplicaCore, Alone]]:
    """A node that leads alone; a step of its sweeps has one hold."""
    with replica(folder, [], sweep_size=1) as core:
        raft, core_raft = Alone(core), core._raft
        core._raft = raft  # type: ignore[assignment]
        yield core, raft
        core._raft = core_raft


def hold(raft: Alone) -> None:
    """Propose an entry with holds that are all due at one tick."""
    orders = tuple(Reserve(f"r{number}", (Line("vase", 1),), 1) for number in range(HOLDS))
    raft.propose(encode_entry(Entry(1, MAX_TICK, (ReceiveStock("delivery", (Line("vase", HOLDS),)), *orders))), None)


def turn(core: ReplicaCore, raft: Alone) -> int:
    """A turn, a little later; the clock after it."""
    raft.seconds += TICK_MS / 1_000 / TURNS_A_TICK
    core.turn()
    return core._machine.clock


def fall_behind(core: ReplicaCore, raft: Alone) -> None:
    """Come to have more due holds than an entry sweeps."""
    core.turn()  # which configures the cluster
    hold(raft)
    while not core._machine.left_due_holds:
        turn(core, raft)


def test_due_holds_are_swept_without_waiting_for_ticks(tmp_path: Path) -> None:
    """The clock stands until all are gone: at one step a tick, very many would stop it for minutes."""
    with alone(tmp_path) as (core, raft):
        core.turn()  # which configures the cluster
        hold(raft)
        clocks: list[int] = []
        while not clocks or clocks[-1] < 3:
            clocks.append(turn(core, raft))
    assert clocks.count(2) <= HOLDS + 2 * TURNS_A_TICK  # not HOLDS * TURNS_A_TICK
    assert clocks.count(2) >= TURNS_A_TICK  # and no tick is early


def test_entries_that_sweep_are_proposed_one_at_a_time(tmp_path: Path) -> None:
    """However long one takes to be applied: the log would fill with them."""
    with alone(tmp_path) as (core, raft):
        fall_behind(core, raft)
        raft.stalled = True
        for _ in range(10):
            core.turn()
        assert raft.proposed == [encode_entry(Entry(0, core._machine.clock, ()))]


def test_nothing_is_proposed_for_holds_that_are_not_due(tmp_path: Path) -> None:
    with alone(tmp_path) as (core, raft):
        core.turn()  # which configures the cluster
        hold(raft)
        core.turn()
        assert core._machine.needs_ticks
        raft.stalled = True
        for _ in range(10):
            core.turn()
        assert not raft.proposed


def test_nothing_is_proposed_while_leadership_is_handed_over(tmp_path: Path) -> None:
    """It would wait in the queue, and the log would not show that it does: so many of them that no order had room."""
    with alone(tmp_path) as (core, raft):
        fall_behind(core, raft)
        raft.stalled = raft.hands_over = True
        for _ in range(2 * TURNS_A_TICK):
            turn(core, raft)
        assert not raft.proposed


def test_the_parameters_are_proposed_again_only_after_a_while(tmp_path: Path) -> None:
    with alone(tmp_path) as (core, raft):
        raft.stalled = True
        for _ in range(10):
            core.turn()
        assert len(raft.proposed) == 1
        raft.seconds = timing.CONFIGURE_RETRY
        core.turn()
        assert len(raft.proposed) == 2


@pytest.mark.parametrize(
    ("applied", "problem"),
    [((6, 1), "the journal ends at 5"), ((2, 1), "the journal starts at 3"), ((4, 2), "do not belong together")],
)
def test_a_state_that_the_journal_does_not_continue_is_refused_with_advice(
    tmp_path: Path, applied: tuple[int, int], problem: str
) -> None:
    create_journal(tmp_path / "journal.db", "cluster-id", "n1")
    with closing(SqliteJournal(tmp_path / "journal.db", "cluster-id", "n1")) as journal:
        for index in range(1, 6):
            journal.add(b"entry", index, 1)
        journal.sync()
        journal.trim(3, 100)
        for index in (3, 4, 5):
            check_state_against_journal(index, 1, journal)
        with pytest.raises(StartRefused, match=f"{problem}.*rejoin"):
            check_state_against_journal(*applied, journal)


def test_what_is_applied_is_told_and_read_when_it_is_committed_to_the_state(tmp_path: Path) -> None:
    """A read sees what the last COMMIT left: told of more, its caller would miss what was said to be there."""
    with replica(tmp_path, ["n2", "n3"]) as core:
        core._machine.apply(1, 1, encode_entry(Entry(0, 0, (core._configure,))))
        assert (core.facts()[APPLIED], core.readable_index) == (0, 0)
        core._machine.commit()
        assert (core.facts()[APPLIED], core.readable_index) == (1, 1)
