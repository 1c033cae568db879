"""A log, applied in any grouping of transactions and with restarts anywhere, gives one state."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine.codec import NO_OP, encode_entry
from lastunit_node.statemachine.commands import (
    Admit,
    Command,
    Configure,
    Confirm,
    Entry,
    FencingToken,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    Tick,
)
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Applied, Outcome, StateHash

from .shop import FOREVER, TERM, lines, memory_database

IDENTITY = Identity("cluster", "n1")


def entry(*commands: Command) -> bytes:
    return encode_entry(Entry(1, FOREVER, commands))


LOG = [
    NO_OP,
    entry(Configure(100, 2, 10, 2, 1)),
    entry(ReceiveStock("delivery", lines({"vase": 6, "bowl": 4}))),
    entry(*[Reserve(f"r{number}", lines({"vase": 1, "bowl": 1}), 0) for number in range(4)]),
    entry(PlaceOrder("o1", lines({"vase": 1})), PlaceOrder("o2", lines({"vase": 5}))),
    b"no entry at all",
    entry(Confirm("r0", FencingToken(TERM, 4, 0), ()), Release("r1", FencingToken(TERM, 4, 1))),
    entry(Tick(0), Tick(1), Tick(2)),
    entry(),
    entry(Tick(3), PlaceOrder("o3", lines({"bowl": 2}))),
    entry(Tick(4)),
    entry(Admit("n1", "old", 0)),
    entry(Admit("n1", "new", 12), Admit("n1", "late", 0)),
    entry(Tick(5)),
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite.Connection]:
    with closing(open_state(tmp_path / "state.db", identity=IDENTITY)) as connection:
        yield connection


def replay(path: Path, commit_after: Callable[[int], bool], restart_after: Callable[[int], bool]) -> list[StateHash]:
    """The hashes after each entry of LOG."""
    hashes = []
    connection = open_state(path, identity=IDENTITY)
    machine = StateMachine(connection)
    for index, data in enumerate(LOG, 1):
        machine.apply(index, TERM, data)
        hashes.append(machine.state_hash())
        if commit_after(index) or restart_after(index):
            machine.commit()
        if restart_after(index):
            connection.close()
            connection = open_state(path, identity=IDENTITY)
            machine = StateMachine(connection)
            assert machine.state_hash() == hashes[-1]
    machine.commit()
    assert machine.scan_digest() == machine.digest
    connection.close()
    return hashes


@pytest.mark.parametrize(
    ("commit_after", "restart_after"),
    [
        (lambda index: False, lambda index: False),
        (lambda index: index % 3 == 0, lambda index: False),
        (lambda index: False, lambda index: index == 7),
        (lambda index: True, lambda index: True),
    ],
    ids=["one transaction", "every third", "a restart", "a restart after every entry"],
)
def test_hashes_do_not_depend_on_transactions_or_restarts(
    tmp_path: Path, commit_after: Callable[[int], bool], restart_after: Callable[[int], bool]
) -> None:
    each = replay(tmp_path / "each.db", lambda index: True, lambda index: False)

    assert replay(tmp_path / "other.db", commit_after, restart_after) == each


def test_a_restart_continues_where_the_last_commit_ended(tmp_path: Path) -> None:
    with closing(open_state(tmp_path / "state.db", identity=IDENTITY)) as connection:
        machine = StateMachine(connection)
        for index, data in enumerate(LOG[:8], 1):
            machine.apply(index, TERM, data)
        machine.commit()
        committed = machine.state_hash(), machine.clock, machine.parameters, machine.applied_term
        for index, data in enumerate(LOG[8:10], 9):
            machine.apply(index, TERM + 1, data)
        machine.write_back()  # never committed

    with closing(open_state(tmp_path / "state.db", identity=IDENTITY)) as connection:
        machine = StateMachine(connection)
        assert (machine.state_hash(), machine.clock, machine.parameters, machine.applied_term) == committed
        assert machine.scan_digest() == machine.digest
        assert machine.apply(9, TERM + 1, LOG[8]) == Applied(9, TERM + 1, 1, ())


def test_what_an_entry_may_take_does_not_depend_on_what_memory_knows() -> None:
    """Confirms of holds that memory knew took nothing: a node that had just started postponed what others sold."""
    sku = "vase-" + "0" * 31
    log = [
        entry(Configure(100, 9, 9, 9, 1)),
        entry(ReceiveStock("delivery", lines({sku: 4_096}))),
        entry(*[Reserve(f"r{number}", lines({sku: 1}), 0) for number in range(4_096)]),
        entry(*[Confirm(f"r{number}", FencingToken(TERM, 3, number), ()) for number in range(4_096)]),
    ]
    outcomes = []
    for restarts in (False, True):
        connection = memory_database()
        machine = StateMachine(connection)
        for index, data in enumerate(log, 1):
            if restarts:
                machine.commit()
                machine = StateMachine(connection)
            results = machine.apply(index, TERM, data).results
            outcomes.append([result.outcome for result in results])

    assert outcomes[: len(log)] == outcomes[len(log) :]
    assert set(outcomes[-1]) == {Outcome.CONFIRMED, Outcome.POSTPONED}


def test_a_commit_without_anything_applied_does_nothing(database: sqlite.Connection) -> None:
    machine = StateMachine(database)
    machine.commit()
    machine.apply(1, TERM, NO_OP)
    machine.commit()
    written = database.total_changes()
    machine.commit()

    assert not database.in_transaction
    assert database.total_changes() == written
    assert StateMachine(database).applied_index == 1
