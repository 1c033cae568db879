"""A power loss at every moment of a state database's life: a state that was committed, none older than a checkpoint."""

import random
from pathlib import Path
from typing import NamedTuple

import pytest
from support.crashes import crashes
from support.recording_vfs import Recorder, recorded

from lastunit_node import sqlite
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import (
    Command,
    Configure,
    Entry,
    Line,
    PlaceOrder,
    ReceiveStock,
    Reserve,
    Tick,
)
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.integrity import check_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import StateHash
from lastunit_node.wal.scan import scan_wal

OWNER = Identity("cluster-id", "n1")
ROUNDS = 24


class Promise(NamedTuple):
    """A state that was committed, and the last index that was made durable before."""

    state: StateHash
    durable_index: int


class Life:
    """A state machine at work; its checkpoints are its own, or made beside it, on a connection of their own."""

    def __init__(self, path: Path, recorder: Recorder, beside: bool) -> None:
        self._beside = beside
        self._path = path
        self._recorder = recorder
        self._durable = 0
        open_state(path, identity=OWNER).close()
        recorder.directory_synced()  # as format_directory does
        self.open()

    def open(self) -> None:
        self._connection = open_state(self._path, identity=OWNER)
        self._machine = StateMachine(self._connection)
        if self._beside:
            self._other = sqlite.connect(self._path, "rw")
            self._machine.leave_checkpoints_to(lambda _pages: None)
        self._promise()

    def _promise(self) -> None:
        self._committed = self._machine.state_hash()
        self._promise_again()

    def _promise_again(self) -> None:
        self._recorder.promise(Promise(self._committed, self._durable))

    def apply(self, *commands: Command) -> None:
        self._machine.apply(self._machine.applied_index + 1, 1, encode_entry(Entry(0, 1 << 40, commands)))

    def commit(self) -> None:
        self._machine.commit()
        self._promise()

    def checkpoint(self) -> None:
        assert self._machine.checkpoint()
        self._durable = self._machine.applied_index
        self._promise()

    def checkpoint_beside(self) -> None:
        """Whatever the machine is about."""
        if self._beside and sqlite.checkpoint(self._other):
            self._durable = self._machine.committed_index
            self._promise_again()

    def close(self) -> None:
        self._connection.close()
        if self._beside:
            self._other.close()


@pytest.fixture(scope="module", params=[False, True], ids=["its own checkpoints", "checkpoints beside it"])
def history(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Recorder:
    recorder = Recorder()
    with recorded(recorder, checkpoint_pages=20):
        life = Life(tmp_path_factory.mktemp("recorded") / "state.db", recorder, request.param)
        life.apply(Configure(100, 2, 10, 5, 4))
        life.apply(ReceiveStock("delivery", (Line("vase", 500), Line("lamp", 500))))
        life.commit()
        for number in range(ROUNDS):
            work(life, number)
    return recorder


def work(life: Life, number: int) -> None:
    life.apply(*(PlaceOrder(f"order-{number}-{each}", (Line("vase", 1),)) for each in range(4)))
    life.apply(Reserve(f"hold-{number}", (Line("lamp", 2),), 0))
    if number % 5 == 3:
        life.checkpoint_beside()
    life.apply(Tick(number))
    life.commit()
    if number % 5 == 1:
        life.checkpoint_beside()
    if number % 7 == 5:
        life.checkpoint()
    if number == 12:
        life.close()
        life.open()


def test_every_crash_leaves_a_state_that_was_committed(history: Recorder, folder: Path) -> None:
    path = folder / "state.db"
    chance, seen = random.Random(2), 0
    for crash in crashes(history, seed=2):
        if chance.random() < 0.5 and "all writes" not in crash.story:
            continue
        crash.lay_out(folder)
        assert scan_wal(path, synchronous="NORMAL").damage is None, crash.story
        connection = open_state(path, identity=OWNER)
        check_state(connection, path)
        found = StateMachine(connection).state_hash()
        connection.close()
        before, under_way = history.before_and_after(crash.moment)
        made = {promise.state for at, promise in history.promises if at <= crash.moment} | {under_way.state}
        assert found in made, crash.story
        assert found.index >= before.durable_index, crash.story
        seen += 1
    assert seen > 500
