"""Checkpoints of the state: what its -wal holds is made durable, and moved into the database file.

By itself SQLite does so within the COMMIT that finds 1,000 pages in the -wal, and all orders wait for it. With a
million skus, of which each order writes another page, that is every tenth of a second. A thread does it beside them, on
a connection of its own, and far less often: a page that changed many times is moved once, and pages that lie side by
side in one go. Another one lets the kernel begin with the writes meanwhile (write_out.py). Passes of 15,000 pages
instead of 4,000, and early writes, three nodes on one disk, six runs of 8 s by turns: 64 callers who order any of
1,000,000 skus on the large state of `make bench-growth` get 6,000 orders a second instead of 4,900, with a p99 of 39 ms
instead of 62, and half the writes. With one hot sku, two runs, the slowest took 35 and 60 ms instead of 58 and 84.

Each pass begins at a length drawn anew: else nodes, whose states grow alike, would begin theirs in the same moment, and
where they share a disk, orders would wait for all of them at once.

A pass moves what was committed when it began. Only when nothing came meanwhile does the -wal begin anew; so the next
pass follows at once, and is shorter. Where passes do not keep up, a COMMIT does the work itself, as SQLite would.

A reader, such as a shell that somebody forgot, keeps what came after it in the -wal, and that grows until he is gone.
Then it may be gigabytes: the thread moves them, no COMMIT does, and the file is cut back piece by piece.
"""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from lastunit_node import sqlite
from lastunit_node.replica.clock import monotonic
from lastunit_node.replica.write_out import WriteOut

if TYPE_CHECKING:
    from lastunit_node.statemachine.machine import StateMachine

_log = structlog.get_logger()

WARN_SECONDS: Final = 60.0  # between two complaints

# Tests lower these: compiled code has built in what is Final.
PAGES: int = 15_000  # in the -wal begin a pass, on average: 60 MB
MAX_PAGES: int = 45_000  # are never left to the thread: 180 MB
PIECE_BYTES: int = 256 << 20  # are cut off a file that is longer, at a time: 60 ms


class Checkpoints(Protocol):
    """Used by whoever applies."""

    durable_index: int  # entries up to this one were applied to a state that survives a power loss

    def begin(self) -> None:
        """Let what is applied become durable, now or soon."""
        ...

    def step(self) -> None:
        """Once a turn."""
        ...

    def close(self) -> None:
        """The last turn was taken."""
        ...


class CheckpointsInTurn:
    """Checkpoints where there are no threads: begin() makes one, and SQLite others by itself."""

    def __init__(self, machine: "StateMachine") -> None:
        self._machine = machine
        self.durable_index = 0
        self.begin()

    def begin(self) -> None:
        """See Checkpoints."""
        self._machine.commit()
        if self._machine.checkpoint():
            self.durable_index = self._machine.committed_index

    def step(self) -> None:
        """See Checkpoints."""

    def close(self) -> None:
        """See Checkpoints."""


class CheckpointThread:
    """Checkpoints on a thread that waits until it is told to begin one."""

    def __init__(
        self,
        open_state: Callable[[], sqlite.Connection],
        on_fatal: Callable[[BaseException], None],
        machine: "StateMachine",
    ) -> None:
        """open_state makes another connection to the machine's database; on_fatal is called on the thread."""
        self._open_state = open_state
        self._on_fatal = on_fatal
        self._machine = machine
        self.durable_index = machine.applied_index if machine.checkpoint() else 0
        self._pages = 0  # in the -wal, after the last COMMIT
        self._enough = _drawn()  # pages for the next pass
        self._is_longer = False  # there was a COMMIT since the last pass began
        self._is_under_way = False
        self._is_held_back = False  # by a reader: when he is gone, there is too much for a COMMIT to move
        self._warned_at = float("-inf")
        self._goal = 0  # what the pass under way makes durable
        self._is_closing = False
        self._told = threading.Event()
        self._write_out: WriteOut | None = None  # once the thread has a connection
        machine.leave_checkpoints_to(self._committed)
        self._checkpoint_thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._checkpoint_thread.start()

    def begin(self) -> None:
        """See Checkpoints. Nothing while a pass is under way."""
        self._machine.commit()
        if self._is_under_way:
            return
        self._is_longer = False
        self._goal = self._machine.committed_index
        self._is_under_way = True
        self._enough = _drawn()
        self._machine.shorten_wal(MAX_PAGES, PIECE_BYTES)
        self._told.set()

    def step(self) -> None:
        """See Checkpoints."""
        if not self._is_longer or self._pages < self._enough:
            return
        if self._pages >= MAX_PAGES and not self._is_held_back:
            self._is_longer = False
            self._is_held_back = not self._machine.checkpoint()
        else:
            self.begin()

    def close(self) -> None:
        """See Checkpoints: returns when the pass under way has ended."""
        self._is_closing = True
        self._told.set()
        self._checkpoint_thread.join()

    def _committed(self, pages: int) -> None:
        self._pages = pages
        self._is_longer = True
        if self._write_out is not None:
            self._write_out.soon()

    def _run(self) -> None:
        try:
            with closing(self._open_state()) as connection, closing(WriteOut(connection, self._on_fatal)) as write_out:
                self._write_out = write_out
                while not self._is_closing:  # looked at after clear(), which may undo what close() told
                    self._told.wait()
                    self._told.clear()
                    if self._is_under_way and not self._is_closing:
                        with write_out.during_checkpoint():
                            self._pass(connection)
        except BaseException as problem:
            self._on_fatal(problem)
            raise

    def _pass(self, connection: sqlite.Connection) -> None:
        left = sqlite.checkpoint_but(connection)
        if left == 0:
            self.durable_index = self._goal
        elif left is not None and self._pages >= MAX_PAGES:
            self._warn()
        self._is_held_back = left is None or left >= PAGES
        self._is_under_way = False

    def _warn(self) -> None:
        now = monotonic()
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            _log.warning(
                "a reader of the state keeps its -wal from being emptied and the journal from being trimmed",
                pages=self._pages,
                advice="copies and scans of this node end by themselves; else another program, such as a forgotten "
                "sqlite3, has a transaction open on state.db: end it (fuser names it)",
            )


def _drawn() -> int:
    """Half of PAGES to one and a half."""
    return random.randint(PAGES // 2, PAGES + PAGES // 2)  # noqa: S311 - no secret
