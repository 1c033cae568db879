"""Scans beside a writer: what they find, one at a time, ended by who gives up; and a damaged node answers no more."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import apsw
import pytest
from pysyncobj.config import FAIL_REASON

from lastunit_node import sqlite
from lastunit_node.replica import timing
from lastunit_node.replica.core import ReplicaCore
from lastunit_node.replica.interface import (
    Facts,
    FailureReason,
    ProposalFailed,
    ReadRefused,
    Role,
    ScanFailed,
    ScanUnderWay,
    SnapshotRefused,
)
from lastunit_node.replica.replica import ThreadedReplica
from lastunit_node.replica.scanner import Scanner
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, Line, ReceiveStock
from lastunit_node.statemachine.database import Identity, open_reader, open_state
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Applied

ENTRIES = (
    Entry(1, 1000, (Configure(100, 100, 600, 1000, 50),)),
    Entry(2, 1000, tuple(ReceiveStock(f"r{number}", (Line(f"s{number}", 1),)) for number in range(500))),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def machine(path: Path) -> Iterator[StateMachine]:
    """A state of 1,502 rows, on disk."""
    with closing(open_state(path, identity=Identity("c", "n1"))) as connection:
        machine = StateMachine(connection)
        for index, entry in enumerate(ENTRIES, 1):
            machine.apply(index, 1, encode_entry(entry))
        machine.commit()
        yield machine


@pytest.fixture
def scanner(path: Path) -> Scanner:
    return Scanner(lambda: open_reader(path), nobody_listens)


def nobody_listens(_problem: BaseException) -> None:
    """Of the damage that a scan finds."""


def damage(path: Path, statement: str = "UPDATE stock SET received = 2, available = 2 WHERE sku = 's7'") -> None:
    with closing(sqlite.connect(path)) as connection:
        connection.execute(statement)


async def test_whole_rows_have_the_digest_that_is_kept(machine: StateMachine, scanner: Scanner) -> None:
    scan = await scanner.scan()
    assert scan.agrees
    assert scan.kept == machine.state_hash()
    assert scan.rows == 1 + 1 + 2 * 500


async def test_what_is_not_committed_is_not_seen(machine: StateMachine, scanner: Scanner) -> None:
    machine.apply(3, 1, encode_entry(Entry(3, 1000, (ReceiveStock("more", (Line("s0", 1),)),))))
    scan = await scanner.scan()
    assert scan.agrees
    assert scan.kept.index == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock SET received = 2, available = 2 WHERE sku = 's7'",
        "DELETE FROM stock_changes WHERE change_id = 'r7'",
        "UPDATE clock SET ticks = 1",
    ],
)
async def test_a_row_changed_behind_its_back_is_found(
    machine: StateMachine, scanner: Scanner, path: Path, statement: str
) -> None:
    damage(path, statement)
    scan = await scanner.scan()
    assert not scan.agrees
    assert scan.kept == machine.state_hash()


class Gate:
    """Readers that wait in their thread until they are let go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting, self.open = threading.Event(), threading.Event()

    def __call__(self) -> sqlite.Connection:
        self.waiting.set()
        assert self.open.wait(5)
        return open_reader(self.path)


async def test_one_scan_at_a_time_also_while_an_abandoned_one_ends(machine: StateMachine, path: Path) -> None:
    gate = Gate(path)
    scanner = Scanner(gate, nobody_listens)
    first = asyncio.create_task(scanner.scan())
    await asyncio.to_thread(gate.waiting.wait, 5)
    with pytest.raises(ScanUnderWay):
        await scanner.scan()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(ScanUnderWay):
        await scanner.scan()
    under_way = scanner._under_way
    gate.open.set()
    assert under_way is not None
    await asyncio.wait([under_way])
    assert (await scanner.scan()).agrees


async def test_who_gives_up_ends_the_scan(machine: StateMachine, path: Path) -> None:
    gate = Gate(path)
    scanner = Scanner(gate, nobody_listens)
    scan = asyncio.create_task(scanner.scan())
    await asyncio.to_thread(gate.waiting.wait, 5)
    under_way = scanner._under_way
    assert under_way is not None
    scan.cancel()
    await asyncio.wait([scan])
    gate.open.set()
    await asyncio.wait([under_way])
    assert type(under_way.exception()).__name__ == "_GivenUp", "it ended before the last row"


@pytest.fixture
def no_database(path: Path) -> None:
    path.write_bytes(b"x" * 4096)


@pytest.mark.usefixtures("no_database")
async def test_a_file_that_is_no_database_cannot_be_scanned(path: Path) -> None:
    with pytest.raises(ScanFailed, match="not a database"):
        await Scanner(lambda: open_reader(path), nobody_listens).scan()


@pytest.mark.usefixtures("no_database")
async def test_damage_is_told_also_when_nobody_waits_for_the_scan_any_more(path: Path) -> None:
    gate, told = Gate(path), list[BaseException]()
    scanner = Scanner(gate, told.append)
    scan = asyncio.create_task(scanner.scan())
    await asyncio.to_thread(gate.waiting.wait, 5)
    under_way = scanner._under_way
    assert under_way is not None
    scan.cancel()
    gate.open.set()
    await asyncio.wait([scan, under_way])
    assert scan.cancelled()
    assert [type(each) for each in told] == [apsw.NotADBError]


class Core:
    """As much of a ReplicaCore as a replica that was never started needs."""

    def facts(self) -> Facts:
        """Those of a node that has just started."""
        return (Role.FOLLOWER, None, 0, 0, 0, 0, 0, False, False, True, None)

    def __init__(self) -> None:
        self.proposed: list[Callable[[Applied | None, int], None]] = []
        self.transfers: list[str | None] = []

    def before_each_poll(self, _callback: Callable[[], None]) -> None:
        """There are no turns."""

    def propose(self, _entry: bytes, callback: Callable[[Applied | None, int], None]) -> None:
        """It takes its time."""
        self.proposed.append(callback)

    def wake(self) -> None:
        """There are no turns."""

    def begin_transfer(self, target: str | None) -> str | None:
        """To whom it was asked to."""
        self.transfers.append(target)
        return target


@pytest.fixture
async def replica(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """make(): a replica, and what it stopped for."""
    monkeypatch.setattr(timing, "LAST_ANSWER", 0.0)
    with ExitStack() as stack:

        def make() -> tuple[ThreadedReplica, list[BaseException]]:
            problems: list[BaseException] = []
            core = cast("ReplicaCore", Core())
            reader: Callable[[], sqlite.Connection] = lambda: stack.enter_context(closing(open_reader(path)))  # noqa: E731
            return ThreadedReplica(core, reader, problems.append), problems

        yield make


async def test_a_node_that_is_whole_goes_on_after_a_scan(machine: StateMachine, replica: Any) -> None:
    scanned, problems = replica()
    assert (await scanned.scan()).agrees
    await asyncio.sleep(0)
    assert problems == []


async def test_a_damaged_node_answers_and_then_stops(machine: StateMachine, replica: Any, path: Path) -> None:
    scanned, problems = replica()
    damage(path)
    assert not (await scanned.scan()).agrees
    async with asyncio.timeout(5):
        while not problems:
            await asyncio.sleep(0)
    assert isinstance(problems[0], StateDamaged)
    assert "at index 2 the rows of the state have the digest" in str(problems[0])


async def test_once_damage_is_found_nothing_is_answered_any_more(
    machine: StateMachine, replica: Any, path: Path
) -> None:
    """It may have been decided by a row that is damaged. What was not proposed yet certainly was not done."""
    scanned, _ = replica()
    under_way = asyncio.ensure_future(scanned.propose(b"entry"))
    await asyncio.sleep(0)
    damage(path)
    await scanned.scan()
    (answer,) = scanned._core.proposed
    answer(Applied(3, 1, 0, ()), FAIL_REASON.SUCCESS)
    scanned._hand_over(3)
    with pytest.raises(ProposalFailed) as failed:
        await under_way
    assert failed.value.reason is FailureReason.UNKNOWN
    with pytest.raises(ProposalFailed) as failed:
        await scanned.propose(b"another")
    assert failed.value.reason is FailureReason.STOPPING
    with pytest.raises(SnapshotRefused), scanned.snapshot():
        pass


def spoil(path: Path) -> None:
    """A byte of a row goes bad on disk."""
    path.write_bytes(path.read_bytes().replace(b"s77", b"S77"))


async def test_a_row_that_is_read_and_found_damaged_stops_the_node(
    machine: StateMachine, replica: Any, path: Path
) -> None:
    read, problems = replica()
    machine.checkpoint()
    spoil(path)
    with pytest.raises(SnapshotRefused), read.snapshot() as snapshot:
        snapshot.stock("s77")
    async with asyncio.timeout(5):
        while not problems:
            await asyncio.sleep(0)
    assert sqlite.is_unreadable(problems[0])


async def test_a_disk_that_refuses_a_read_says_nothing_of_the_rows(machine: StateMachine, replica: Any) -> None:
    read, problems = replica()
    refusal = apsw.IOError("disk I/O error")
    refusal.result = apsw.SQLITE_IOERR  # type: ignore[attr-defined]  # as apsw sets it
    with pytest.raises(ReadRefused, match="disk I/O error"), read.snapshot():
        raise refusal
    await asyncio.sleep(0)
    assert problems == []
    with read.snapshot() as snapshot:
        assert snapshot.stock("s77").available == 1


async def test_nor_does_a_scan_that_cannot_open_the_state_stop_the_node(
    machine: StateMachine, replica: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned, problems = replica()
    with monkeypatch.context() as patch:
        patch.setattr(scanned._scanner, "_open_reader", lambda: open_reader(path / "nowhere"))
        with pytest.raises(ReadRefused, match="unable to open"):
            await scanned.scan()
    await asyncio.sleep(0)
    assert problems == []
    assert (await scanned.scan()).agrees


async def test_rows_that_a_scan_cannot_read_stop_the_node(replica: Any, machine: StateMachine) -> None:
    scanned, problems = replica()
    scanned._scanner._open_reader = refuse_to_make_sense
    with pytest.raises(ScanFailed, match="malformed"):
        await scanned.scan()
    async with asyncio.timeout(5):
        while not problems:
            await asyncio.sleep(0)
    assert isinstance(problems[0], apsw.CorruptError)


def refuse_to_make_sense() -> sqlite.Connection:
    raise apsw.CorruptError("database disk image is malformed")


@pytest.mark.parametrize("has_begun", [False, True])
async def test_who_gives_up_on_a_transfer_breaks_nothing(machine: StateMachine, replica: Any, has_begun: bool) -> None:
    asked, _ = replica()
    broken = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: broken.append(context))
    asking = asyncio.ensure_future(asked.transfer_leadership("n2"))
    await asyncio.sleep(0)
    (begin,) = asked._requests
    if has_begun:
        begin()
    asking.cancel()
    await asyncio.wait([asking])
    if not has_begun:
        begin()
    await asyncio.sleep(0)
    assert asked._core.transfers == (["n2"] if has_begun else [])
    assert broken == []
