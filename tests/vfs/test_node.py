"""A power loss at every moment of a whole data directory: journal, state and copies are never out of step.

One node lives through being made, trimming, copies that did not arrive, and two that were installed. All its files are
in one history, so that what one of them promises is held against what the others have.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from support.crashes import Crash, crashes
from support.recording_files import recorded_files
from support.recording_vfs import Recorder, recorded

from lastunit.v1 import catchup_pb2 as pb
from lastunit_node.catchup import ArrivedCopy, install, receive
from lastunit_node.copies import CopyInfo, CopyRefused, adopt_copy, make_copy
from lastunit_node.datadir import IDENTITY, DataDirectory, format_directory
from lastunit_node.replica import compaction, timing
from lastunit_node.replica.checkpoints import CheckpointsInTurn
from lastunit_node.replica.compaction import Compactor
from lastunit_node.replica.core import check_state_against_journal
from lastunit_node.replica.entry_cache import LogEntry
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, Line, PlaceOrder, ReceiveStock
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import StateHash

NODE = "n1"
MEMBERS = ("n1", "n2", "n3")
CLUSTER_ID = "cluster-id"
TERM = 3
PEER = Identity(CLUSTER_ID, "n2")
CHUNK = 8_192
FIRST_COPY, SECOND_COPY, LAST = 60, 80, 100  # indexes in the log of the cluster


def entry_at(index: int) -> bytes:
    """What the cluster has committed there."""
    if index == 1:
        return encode_entry(Entry(index, 0, (Configure(100, 2, 10, 5, 4),)))
    if index == 2:
        return encode_entry(Entry(index, 1 << 40, (ReceiveStock("delivery", (Line("vase", 5_000),)),)))
    orders = (PlaceOrder(f"order-{index}-{number}", (Line("vase", 1),)) for number in range(1 + index % 4))
    return encode_entry(Entry(index, 1 << 40, tuple(orders)))


class Peer:
    """A node that has applied the whole log: its hashes at each index, and copies of its state at some."""

    def __init__(self, folder: Path) -> None:
        self.hashes: dict[int, StateHash] = {}
        self.copies: dict[int, tuple[CopyInfo, bytes]] = {}
        state = folder / "peer.db"
        with closing(open_state(state, identity=PEER)) as connection:
            machine = StateMachine(connection)
            self.hashes[0] = machine.state_hash()
            for index in range(1, LAST + 1):
                machine.apply(index, TERM, entry_at(index))
                machine.commit()
                self.hashes[index] = machine.state_hash()
                if index in {FIRST_COPY, SECOND_COPY}:
                    info = make_copy(state, folder / "copy.db")
                    self.copies[index] = (info, (folder / "copy.db").read_bytes())


async def stream(info: CopyInfo, data: bytes) -> AsyncIterator[pb.CopyStateResponse]:
    """As a peer sends it."""
    yield pb.CopyStateResponse(header=pb.CopyHeader(**info._asdict()))
    for start in range(0, len(data), CHUNK):
        yield pb.CopyStateResponse(chunk=data[start : start + CHUNK])


class Memory(NamedTuple):
    """What a node must remember, and which state it has."""

    state_file: str
    entries: tuple[LogEntry, ...]
    term: int
    vote: str | None


class Node:
    """The files of a node, opened as server.py opens them."""

    def __init__(self, folder: Path) -> None:
        self.directory = DataDirectory(folder, "test", MEMBERS, NODE)
        self.journal = self.directory.open_journal()
        self.directory.remove_leftovers()
        self._state = self.directory.open_state()
        self.machine = StateMachine(self._state)
        check_state_against_journal(self.machine.applied_index, self.machine.applied_term, self.journal)

    def memory(self) -> Memory:
        journal: SqliteJournal = self.journal
        entries = tuple(journal.entries(0, 1 << 40))
        return Memory(journal.state_file, entries, journal.getCurrentTerm(), journal.getVotedForNodeId())

    def apply(self, index: int) -> None:
        for data, at, term in self.journal.entries(self.machine.applied_index + 1, index + 1):
            self.machine.apply(at, term, data)
            self.machine.commit()

    def close_files(self) -> None:
        self.journal.close()
        self._state.close()

    def close(self) -> None:
        self.close_files()
        self.directory.close()


class Life:
    """A node at work, promising after each step."""

    def __init__(self, folder: Path, recorder: Recorder, peer: Peer) -> None:
        self._folder = folder
        self._recorder = recorder
        self._peer = peer
        format_directory(folder, "test", CLUSTER_ID, MEMBERS, NODE)
        self.formatted = len(recorder.ops)
        self.node = Node(folder)
        self._promise()

    def _promise(self) -> None:
        self._recorder.promise(self.node.memory())

    def append(self, count: int, term: int = TERM) -> None:
        journal = self.node.journal
        for index in range(journal.last_index + 1, journal.last_index + 1 + count):
            journal.add(entry_at(index) if term == TERM else b"never committed", index, term)
        journal.sync()
        self._promise()

    def vote(self, term: int) -> None:
        self.node.journal.setCurrentTerm(term, "n2")
        self._promise()

    def follow(self, rounds: int) -> None:
        """Entries arrive, are applied, and are trimmed."""
        machine = self.node.machine
        compactor, now = Compactor(self.node.journal, machine, CheckpointsInTurn(machine)), 0.0
        for _ in range(rounds):
            self.append(3)
            self.node.apply(self.node.journal.last_index - 1)
            now += timing.COMPACTION
            for _ in range(3):
                compactor.step(now, [])
                self._promise()

    def fetch(self, index: int, damage_at: int | None = None, size: int | None = None) -> None:
        """Install a copy, as catchup.py and server.py do."""
        info, data = self._peer.copies[index]
        if damage_at is not None:
            data = data[:damage_at] + bytes([data[damage_at] ^ 1]) + data[damage_at + 1 :]
        directory, applied = self.node.directory, self.node.machine.applied_index
        arriving, lasting = directory.arriving_copy, directory.copied_state(index)
        arrived = asyncio.run(receive(stream(info, data[:size]), arriving))
        adopt_copy(arriving, lasting, arrived, directory.state_identity)
        self.node.close_files()
        assert install(directory, ArrivedCopy(lasting.name, arrived), applied)
        directory.close()
        self.node = Node(self._folder)
        assert self.node.machine.applied_index == index
        self._promise()


class History(NamedTuple):
    """A life that is over."""

    recorder: Recorder
    formatted: int  # ops until the directory was made
    peer: Peer


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    peer = Peer(tmp_path_factory.mktemp("peer"))
    recorder, folder = Recorder(), tmp_path_factory.mktemp("node")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MARGIN_ENTRIES": 2, "SLOW_MARGIN_ENTRIES": 4, "PIECE_ENTRIES": 3}.items():
            patch.setattr(compaction, name, value)
        with recorded_files(recorder, folder), recorded(recorder, checkpoint_pages=60):
            life = Life(folder, recorder, peer)
            live(life)
            life.node.close()
    return History(recorder, life.formatted, peer)


def live(life: Life) -> None:
    life.vote(TERM - 1)
    life.follow(8)
    life.append(2, TERM - 1)  # of a leader that was replaced
    with pytest.raises(CopyRefused):
        life.fetch(FIRST_COPY, damage_at=3 * CHUNK)
    with pytest.raises(CopyRefused):
        life.fetch(FIRST_COPY, size=2 * CHUNK)
    life.fetch(FIRST_COPY)
    life.vote(TERM)
    life.follow(3)
    life.append(SECOND_COPY + 5 - life.node.journal.last_index)
    life.fetch(SECOND_COPY)
    life.follow(3)


def test_the_history_has_what_matters(history: History) -> None:
    done = Counter((op.kind, op.file) for op in history.recorder.ops)
    assert done["rename", "identity.tmp"] == 1
    assert done["rename", "copy-arriving.db"] == 2
    assert done["delete", "state.db"] == done["delete", f"state-{FIRST_COPY}.db"] == 1
    for name in ("journal.db", "journal.db-wal", "state.db", f"state-{FIRST_COPY}.db", f"state-{SECOND_COPY}.db-wal"):
        assert done["write", name], name
    memories = [memory for _, memory in history.recorder.promises]
    starts = [memory.entries[0][1] for memory in memories]
    assert starts == sorted(starts)
    assert len(set(starts)) > 10, "journals are trimmed all along"
    lasts = [memory.entries[-1][1] for memory in memories if memory.state_file == f"state-{SECOND_COPY}.db"]
    assert min(lasts) == SECOND_COPY + 5, "the second copy kept the tail of the journal"


def test_no_crash_leaves_journal_and_state_out_of_step(history: History, folder: Path) -> None:
    """Each opens, remembers all that was promised, and holds a state of the cluster that its journal continues."""
    outcomes: Counter[str] = Counter()
    chance = random.Random(3)
    for crash in crashes(history.recorder, seed=3):
        if chance.random() < 0.7 and "all writes" not in crash.story:
            continue
        crash.lay_out(folder)
        outcomes[look(crash, folder, history)] += 1
    assert sum(outcomes.values()) > 1_000
    assert min(outcomes[f"state{name}.db"] for name in ("", f"-{FIRST_COPY}", f"-{SECOND_COPY}")) > 100, outcomes


def look(crash: Crash, folder: Path, history: History) -> str:
    """Open what a crash left; the name of its state."""
    node = Node(folder)
    memory, machine = node.memory(), node.machine
    assert memory in history.recorder.before_and_after(crash.moment), crash.story
    assert memory.entries[0][1] <= machine.applied_index <= memory.entries[-1][1], crash.story
    assert machine.state_hash() == history.peer.hashes[machine.applied_index], crash.story
    committed = max(index for _, index, term in memory.entries if term in {0, TERM})
    node.apply(committed)
    assert machine.state_hash() == history.peer.hashes[committed], crash.story
    node.close()
    left = {file.name for file in folder.iterdir() if file.name.startswith(("state", "copy"))}
    assert all(name.startswith(memory.state_file) for name in left), left
    return memory.state_file


def test_a_crash_while_a_directory_is_made_leaves_a_whole_one_or_none(history: History, folder: Path) -> None:
    recorder = Recorder()
    recorder.ops = history.recorder.ops[: history.formatted]
    recorder.promise(None)
    recorder.promises = [(0, None)]
    seen = Counter[bool]()
    for crash in crashes(recorder, seed=4):
        crash.lay_out(folder)
        is_there = IDENTITY in crash.files
        seen[is_there] += 1
        if is_there:
            node = Node(folder)
            assert (node.machine.applied_index, node.journal.last_index) == (0, 0), crash.story
            node.close()
    assert min(seen[True], seen[False]) > 0, seen
