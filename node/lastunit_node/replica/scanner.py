"""Scans of the state, one at a time, in a thread of their own and on a connection of their own.

A scan reads every row in one snapshot, which holds back checkpoints of the state's write-ahead log for that long. It
rests between pieces, so that Python's one lock is free for orders most of the time. Who gives up waiting ends it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Final

from lastunit_node import sqlite
from lastunit_node.replica.interface import ReadRefused, ScanFailed, ScanUnderWay
from lastunit_node.statemachine.queries import read_snapshot
from lastunit_node.statemachine.results import Scan

PIECE_ROWS: Final = 128  # about 0.5 ms
REST_SECONDS: Final = 0.001


class _GivenUp(Exception):
    """Nobody waits for the scan any more."""


class Scanner:
    """Used on the event loop. open_reader makes a read-only connection to the state.

    on_damage is told why rows cannot be read, also when nobody waits for the scan any more.
    """

    def __init__(
        self, open_reader: Callable[[], sqlite.Connection], on_damage: Callable[[BaseException], None]
    ) -> None:
        self._open_reader = open_reader
        self._on_damage = on_damage
        self._given_up = threading.Event()
        self._under_way: asyncio.Task[Scan] | None = None

    async def scan(self) -> Scan:
        """Scan. Raises ScanUnderWay, ScanFailed and ReadRefused; cancelled, it ends the scan."""
        if self._under_way is not None:
            raise ScanUnderWay
        self._given_up.clear()
        self._under_way = asyncio.create_task(asyncio.to_thread(self._scan))
        self._under_way.add_done_callback(self._ended)
        try:
            return await asyncio.shield(self._under_way)
        except asyncio.CancelledError:
            self._given_up.set()
            raise
        except sqlite.READ_ERRORS as problem:
            if sqlite.has_disk_failed(problem):
                raise ReadRefused(str(problem)) from problem
            if not sqlite.is_unreadable(problem):
                raise
            raise ScanFailed(f"the rows of the state cannot be read: {sqlite.say(problem)}") from problem

    def _scan(self) -> Scan:
        count = 0

        def watch(rows: Iterable[Any]) -> Iterator[Any]:
            nonlocal count
            for row in rows:
                count += 1
                if count % PIECE_ROWS == 0 and self._given_up.wait(REST_SECONDS):
                    raise _GivenUp
                yield row

        with closing(self._open_reader()) as reader, read_snapshot(reader) as snapshot:
            return Scan(snapshot.state_hash(), snapshot.scan_digest(watch), count)

    def _ended(self, task: asyncio.Task[Scan]) -> None:
        self._under_way = None
        problem = None if task.cancelled() else task.exception()
        if problem is not None and sqlite.is_unreadable(problem):
            self._on_damage(problem)
