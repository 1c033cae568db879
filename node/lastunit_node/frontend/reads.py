"""Queries: how fresh the state must be, and one snapshot to answer from.

A linearizable read waits for an entry proposed after it arrived, and for its COMMIT, so it sees every command that
was answered before; a stale one takes what is committed. Both can wait for an index (min_index), which may never
come: a node that stops does not wait for it. Value and index come from one snapshot, which is closed before anything is
awaited. One entry makes all reads ready that came before it: they are answered one after the other, with breaks in
which the event loop goes on.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.errors import deadline_exceeded, invalid_argument, read_refused, stopping, too_many_wait
from lastunit_node.replica.interface import ReadRefused, Replica, SnapshotRefused
from lastunit_node.statemachine.limits import MAX_TICK
from lastunit_node.statemachine.queries import Snapshot

T = TypeVar("T")
MAX_WAITING: Final = 4_096  # reads, for an index that this node has not applied
BREAK_SECONDS: Final = 0.005  # of queries: then others have a turn. 600 pages at once held up an order for 11 s
_STALE: Final = pb.READ_CONSISTENCY_STALE


class Reader:
    """Answers queries from the replica's state. `closing` is set when the node drains."""

    def __init__(self, replica: Replica, batcher: Batcher, closing: asyncio.Event) -> None:
        self._replica = replica
        self._batcher = batcher
        self._closing = closing
        self._waiting = 0
        self._querying = asyncio.Lock()
        self._spent = 0.0  # seconds in queries since the last break

    async def read(self, options: pb.ReadOptions, deadline: float, query: Callable[[Snapshot], T]) -> T:
        """What `query` finds in a snapshot as fresh as asked. deadline in loop time; CallError when it passes."""
        check_options(options)
        if options.consistency != _STALE:
            await self._committed(await self._batcher.barrier(deadline), deadline)
        await self.applied(options.min_index, deadline)
        async with self._querying:
            if self._spent >= BREAK_SECONDS:
                await asyncio.sleep(0)
                self._spent = 0.0
            return self._answer(query)

    def _answer(self, query: Callable[[Snapshot], T]) -> T:
        begun = monotonic()
        try:
            with self._replica.snapshot() as snapshot:
                return query(snapshot)
        except SnapshotRefused:
            raise stopping(definite=True) from None
        except ReadRefused as refusal:
            raise read_refused(str(refusal)) from refusal
        finally:
            self._spent += monotonic() - begun

    async def applied(self, index: int, deadline: float) -> None:
        """Wait until this node has applied `index`.

        CallError when the deadline passes first, the node drains, or as many wait as may.
        """
        if index <= self._replica.status().applied_index:
            return
        if self._waiting >= MAX_WAITING:
            raise too_many_wait(MAX_WAITING)
        self._waiting += 1
        reaching = asyncio.create_task(self._committed(index, deadline))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait((reaching, closing), return_when=asyncio.FIRST_COMPLETED)
            if not reaching.done():
                raise stopping(definite=True)
            reaching.result()
        finally:
            self._waiting -= 1
            reaching.cancel()
            closing.cancel()

    async def _committed(self, index: int, deadline: float) -> None:
        """Wait until the state has this index; CallError when the deadline passes first."""
        if index <= self._replica.status().applied_index:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._replica.wait_applied(index)
        except TimeoutError:
            raise deadline_exceeded("DEADLINE", definite=True) from None


def check_options(options: pb.ReadOptions) -> None:
    """Raise CallError for options outside their ranges."""
    if options.consistency not in pb.ReadConsistency.values():
        raise invalid_argument("options.consistency", f"has no value {options.consistency}")
    check_index("options.min_index", options.min_index)


def check_index(field: str, index: int) -> None:
    """Raise CallError for what cannot be a log index."""
    if index > MAX_TICK:
        raise invalid_argument(field, f"must be at most {MAX_TICK}")
