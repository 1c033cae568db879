"""Checkpoints beside the thread that applies: the -wal is bounded, a failure is told, and durable is only what is."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.real_cluster import eventually

from lastunit_node import sqlite
from lastunit_node.replica import checkpoints
from lastunit_node.replica.checkpoints import CheckpointThread
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, Line, PlaceOrder, ReceiveStock
from lastunit_node.statemachine.database import Identity, open_reader, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.wal.scan import wal_of

OWNER = Identity("cluster-id", "n1")
PAGE_BYTES = 4096
FEW_PAGES, TOO_MANY_PAGES = 40, 120
Open = Callable[[], sqlite.Connection]


@pytest.fixture
def few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PAGES", FEW_PAGES)
    monkeypatch.setattr(checkpoints, "MAX_PAGES", TOO_MANY_PAGES)


class Shop:
    """A state machine that sells, with checkpoints beside it."""

    def __init__(self, path: Path, open_beside: Open | None = None) -> None:
        self.path = path
        self.problems: list[BaseException] = []
        self.connection = open_state(path, identity=OWNER)
        self.machine = StateMachine(self.connection)
        beside = open_beside or (lambda: sqlite.connect(path, "rw"))
        self.checkpoints = CheckpointThread(beside, self.problems.append, self.machine)
        self._apply(Configure(100, 2, 10, 5, 4), ReceiveStock("delivery", (Line("vase", 1_000_000),)))

    def _apply(self, *commands: object) -> None:
        index = self.machine.applied_index + 1
        self.machine.apply(index, 1, encode_entry(Entry(0, 1 << 40, commands)))  # type: ignore[arg-type]

    def sell(self) -> None:
        """A turn: some orders, and their COMMIT."""
        index = self.machine.applied_index
        self._apply(*(PlaceOrder(f"order-{index}-{number}", (Line("vase", 1),)) for number in range(20)))
        self.machine.commit()
        self.checkpoints.step()

    @property
    def pages(self) -> int:
        """In the -wal, as the last COMMIT left it."""
        return self.checkpoints._pages

    def close(self) -> None:
        self.checkpoints.close()
        self.connection.close()


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    with ExitStack() as stack:
        yield lambda *beside: stack.enter_context(closing(Shop(tmp_path / "state.db", *beside)))


def in_the_file(path: Path, folder: Path) -> int:
    """The applied index that the database file has without its -wal."""
    alone = folder / "alone.db"
    shutil.copyfile(path, alone)
    with closing(sqlite.connect(alone)) as connection:
        (index,) = sqlite.only_row(connection, "SELECT applied_index FROM state")
    return int(index)


async def sell_until_a_pass_is_over(shop: Shop) -> int:
    """Pages in the -wal when it began."""
    before = goal = shop.checkpoints._goal
    while goal == before:
        shop.sell()
        goal = shop.checkpoints._goal
    begun_at = shop.pages
    await eventually(lambda: shop.checkpoints.durable_index == goal, "the pass is over")
    return begun_at


@pytest.mark.usefixtures("few_pages")
async def test_a_long_wal_is_moved_into_the_file_and_begins_anew(shops: Callable[..., Shop], tmp_path: Path) -> None:
    shop = shops()
    begun_at = await sell_until_a_pass_is_over(shop)
    assert in_the_file(shop.path, tmp_path) == shop.machine.committed_index
    shop.sell()
    assert shop.pages < begun_at
    assert shop.problems == []


@pytest.mark.usefixtures("few_pages")
async def test_passes_do_not_begin_at_the_same_length_on_every_node(shops: Callable[..., Shop]) -> None:
    shop = shops()
    lengths = {await sell_until_a_pass_is_over(shop) for _ in range(10)}
    assert len(lengths) > 1
    assert min(lengths) >= FEW_PAGES // 2


async def test_what_is_applied_becomes_durable_when_asked(shops: Callable[..., Shop], tmp_path: Path) -> None:
    shop = shops()
    shop.sell()
    assert shop.checkpoints.durable_index == 0
    shop.checkpoints.begin()
    await eventually(lambda: shop.checkpoints.durable_index == shop.machine.applied_index, "the pass is over")
    assert in_the_file(shop.path, tmp_path) == shop.machine.applied_index


async def test_it_is_not_durable_while_a_reader_holds_the_checkpoint_back(shops: Callable[..., Shop]) -> None:
    shop = shops()
    with closing(open_reader(shop.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM state").fetchone()
        shop.sell()
        shop.checkpoints.begin()
        await eventually(lambda: not shop.checkpoints._is_under_way, "the pass is over")
        assert shop.checkpoints.durable_index == 0
        reader.execute("ROLLBACK")
    shop.checkpoints.begin()
    await eventually(lambda: shop.checkpoints.durable_index == shop.machine.applied_index, "the next pass is over")


@pytest.mark.usefixtures("few_pages")
def test_the_wal_is_bounded_when_the_thread_does_not_keep_up(shops: Callable[..., Shop]) -> None:
    go_on = threading.Event()

    def open_late() -> sqlite.Connection:
        go_on.wait()
        return sqlite.connect(shop.path, "rw")

    shop = shops(open_late)
    try:
        most = 0
        for _ in range(200):
            shop.sell()
            most = max(most, shop.pages)
        assert TOO_MANY_PAGES <= most < 2 * TOO_MANY_PAGES
        assert shop.checkpoints.durable_index == 0, "the thread did nothing yet"
    finally:
        go_on.set()


class Gated:
    """A connection whose passes wait for a gate."""

    def __init__(self, path: Path, gate: threading.Event) -> None:
        self._connection = sqlite.connect(path, "rw")
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *question: Any) -> Any:
        assert self._gate.wait(30)
        return self._connection.execute(*question)


async def grow_behind_a_reader(shop: Shop) -> None:
    """The -wal becomes ten times as long as any COMMIT leaves to the thread."""
    with closing(open_reader(shop.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM state").fetchone()
        while shop.pages < 10 * TOO_MANY_PAGES:
            await asyncio.to_thread(shop.sell)
        await eventually(lambda: not shop.checkpoints._is_under_way, "the pass is over")
        shop.sell()
        await eventually(lambda: not shop.checkpoints._is_under_way, "the next one, too")
        reader.execute("ROLLBACK")


@pytest.mark.usefixtures("few_pages")
async def test_a_forgotten_reader_is_named(shops: Callable[..., Shop]) -> None:
    with capture_logs() as logs:
        await grow_behind_a_reader(shops())
    assert [each["log_level"] for each in logs] == ["warning"]
    assert "a reader of the state keeps its -wal from being emptied" in logs[0]["event"]


@pytest.mark.usefixtures("few_pages")
async def test_what_a_reader_held_back_is_moved_by_the_thread_and_the_file_gets_its_length_back(
    shops: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may be gigabytes: a COMMIT that moved them would keep all orders."""
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 1 << 20)
    gate = threading.Event()
    gate.set()
    shop = shops(lambda: Gated(tmp_path / "state.db", gate))
    await grow_behind_a_reader(shop)
    gate.clear()
    before = in_the_file(shop.path, tmp_path)
    for _ in range(5):
        shop.sell()
    assert in_the_file(shop.path, tmp_path) == before, "no COMMIT moved it"
    gate.set()
    await eventually(lambda: shop.checkpoints.durable_index > before, "the thread moves it")
    while wal_of(shop.path).stat().st_size > TOO_MANY_PAGES * 2 * PAGE_BYTES:
        await sell_until_a_pass_is_over(shop)
    assert shop.problems == []


async def test_a_pass_under_way_makes_durable_what_was_committed_when_it_began(shops: Callable[..., Shop]) -> None:
    go_on = threading.Event()

    def open_late() -> sqlite.Connection:
        go_on.wait()
        return sqlite.connect(shop.path, "rw")

    shop = shops(open_late)
    shop.sell()
    begun_at = shop.machine.committed_index
    shop.checkpoints.begin()
    shop.sell()
    shop.checkpoints.begin()
    go_on.set()
    await eventually(lambda: not shop.checkpoints._is_under_way, "the pass is over")
    assert shop.checkpoints.durable_index == begun_at < shop.machine.committed_index


def test_a_commit_by_itself_moves_nothing(shops: Callable[..., Shop], tmp_path: Path) -> None:
    shop = shops()
    while shop.pages < 1_500:  # SQLite's own would come at 1,000
        shop.sell()
    assert in_the_file(shop.path, tmp_path) == 0
    assert shop.pages < checkpoints.PAGES


async def test_a_failure_is_told(shops: Callable[..., Shop], tmp_path: Path) -> None:
    class Full:
        filename = filename_wal = str(tmp_path / "state.db")

        def execute(self, *_: object) -> None:
            raise sqlite.Error("database or disk is full")

        def close(self) -> None:
            """Nothing was opened."""

    shop = shops(Full)
    shop.sell()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)  # as the process ends, nobody would see it
        shop.checkpoints.begin()
        await eventually(lambda: bool(shop.problems), "the node is told")
    assert "full" in str(shop.problems[0])
    assert shop.checkpoints.durable_index == 0


def test_an_end_that_comes_when_a_pass_begins_is_not_missed(tmp_path: Path) -> None:
    """The thread looked, and found no end; it is told of one before it forgets what it was told."""
    shop = Shop(tmp_path / "state.db")
    thread = shop.checkpoints._checkpoint_thread
    closer = threading.Thread(target=shop.checkpoints.close, daemon=True)

    class Late(threading.Event):
        def clear(self) -> None:
            if not closer.is_alive():
                closer.start()
                assert told_of_the_end.wait(10)
            super().clear()

        def set(self) -> None:
            super().set()
            if shop.checkpoints._is_closing:
                told_of_the_end.set()

    told_of_the_end = threading.Event()
    before, shop.checkpoints._told = shop.checkpoints._told, Late()
    shop.checkpoints.begin()
    before.set()
    thread.join(10)
    assert not thread.is_alive()
    shop.connection.close()
    assert shop.problems == []
