"""interface.Replica on a thread: Raft turns on one side, asyncio on the other, one hand-over per turn between them.

The thread owns Raft, journal and the state's writer connection. Results cross to the event loop together with the index
that snapshots then see, which may lag behind them until somebody waits for it (state_commits.py). An exception in the
thread goes to on_fatal, which is expected to end the process: a replica that failed must answer nothing any more.
"""

import asyncio
import bisect
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter

from pysyncobj.config import FAIL_REASON

from lastunit_node import sqlite
from lastunit_node.replica import timing
from lastunit_node.replica.attempts import Attempts
from lastunit_node.replica.core import REASONS, ReplicaCore
from lastunit_node.replica.interface import (
    CLOCK,
    FailureReason,
    ProposalFailed,
    ReadRefused,
    Role,
    SnapshotRefused,
    Status,
    TransferFailed,
)
from lastunit_node.replica.scanner import Scanner
from lastunit_node.replica.state_commits import NEVER
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.queries import Snapshot, read_snapshot
from lastunit_node.statemachine.results import Applied, Scan, StateHash

Ended = tuple["asyncio.Future[Applied]", Applied | None, int]  # a proposal, what applying it gave, why nothing


class ThreadedReplica:
    """Implements interface.Replica. Create it on the event loop that will use it."""

    def __init__(
        self,
        core: ReplicaCore,
        open_reader: Callable[[], sqlite.Connection],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """open_reader makes a read-only connection to the state; on_fatal is called on any thread."""
        self._core = core
        self._reader = open_reader()
        self._scanner = Scanner(open_reader, self.fail)
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._attempts = Attempts(timing.ATTEMPT)
        self._facts = core.facts()
        self._status = Status(*self._facts)
        self._told = self._facts  # what _status says
        self._outbox: deque[Ended] = deque()
        self._requests: deque[Callable[[], None]] = deque()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # by index; each leaves by itself
        self._wanted_index = NEVER  # the least index that is waited for; all that the thread knows of _waiting
        self._stopping = False
        self._failing = False
        core.before_each_poll(self._publish)
        self._raft_thread = threading.Thread(target=self._run, name="raft", daemon=True)

    def start(self) -> None:
        """Begin to take turns."""
        self._raft_thread.start()

    async def stop(self) -> None:
        """End after the turn under way. The front end has stopped before: nobody waits for a proposal any more."""
        self._stopping = True
        self._core.wake()
        await asyncio.to_thread(self._raft_thread.join)
        self._hand_over(self.status().applied_index)

    # The raft thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._take_turn()
            self._core.close()
            self._facts = self._core.facts()
        except BaseException as problem:
            self._on_fatal(problem)
            raise

    def _take_turn(self) -> None:
        while self._requests:
            self._requests.popleft()()
        self._core.turn()

    def _publish(self) -> None:
        """Before the turn polls, or results would wait for the next message from a peer."""
        self._facts = self._core.facts()
        applied_index = self._core.readable_index
        if self._outbox or applied_index >= self._wanted_index:
            self._loop.call_soon_threadsafe(self._hand_over, applied_index)
            os.sched_yield()  # to the loop that was woken just now, which may be on this processor; the poll can wait

    # The event loop.

    def _hand_over(self, applied_index: int) -> None:
        for _ in range(len(self._outbox)):
            self._resolve(*self._outbox.popleft())
        for index, future in self._waiting:
            if index > applied_index:
                break
            if not future.done():
                future.set_result(None)

    def _resolve(self, future: "asyncio.Future[Applied]", applied: Applied | None, reason: int) -> None:
        if future.done():
            return
        if self._failing:
            future.set_exception(ProposalFailed(FailureReason.UNKNOWN))
        elif applied is not None and reason == FAIL_REASON.SUCCESS:
            future.set_result(applied)
        else:
            future.set_exception(ProposalFailed(REASONS.get(reason, FailureReason.UNKNOWN)))

    async def propose(self, entry: bytes) -> Applied:
        """See interface.Replica."""
        if self._stopping or self._failing:
            raise ProposalFailed(FailureReason.STOPPING)
        future = self._attempts.begin()
        self._core.propose(entry, lambda applied, reason: self._outbox.append((future, applied, reason)))
        try:
            return await future
        finally:
            self._attempts.forget_ended()

    async def wait_applied(self, index: int) -> None:
        """See interface.Replica."""
        waiter = (index, self._loop.create_future())
        bisect.insort(self._waiting, waiter, key=itemgetter(0))
        self._want()
        if self.status().applied_index >= index:  # looked at last: the thread may not have seen the waiter
            waiter[1].set_result(None)
        try:
            await waiter[1]
        finally:
            self._waiting.remove(waiter)
            self._want()

    def _want(self) -> None:
        wanted = self._waiting[0][0] if self._waiting else NEVER
        if wanted != self._wanted_index:
            self._wanted_index = wanted
            self._core.want(wanted)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See interface.Replica."""
        if self._failing:
            raise SnapshotRefused
        try:
            with read_snapshot(self._reader) as snapshot:
                yield snapshot
        except sqlite.READ_ERRORS as problem:
            if sqlite.has_disk_failed(problem):
                raise ReadRefused(str(problem)) from problem
            if not sqlite.is_unreadable(problem):
                raise
            self.fail(problem)
            raise SnapshotRefused from problem

    def hash_at(self, index: int) -> StateHash | None:
        """See interface.Replica."""
        return self._core.hash_at(index)

    def hold_log(self, index: int, seconds: float) -> None:
        """See interface.Replica."""
        self._requests.append(lambda: self._core.hold_log(index, seconds))

    async def scan(self) -> Scan:
        """See interface.Replica."""
        scan = await self._scanner.scan()
        if not scan.agrees:
            kept, found = scan.kept.digest.hex(), scan.digest.hex()
            problem = f"at index {scan.kept.index} the rows of the state have the digest {found}, and {kept} was kept"
            self.fail(StateDamaged(f"{problem}: they were changed behind this node's back"))
        return scan

    def fail(self, problem: BaseException) -> None:
        """See interface.Replica."""
        if not self._failing:
            self._failing = True
            self._loop.call_later(timing.LAST_ANSWER, self._on_fatal, problem)

    def clock(self) -> int:
        """See interface.Replica."""
        return self._facts[CLOCK]

    def status(self) -> Status:
        """See interface.Replica."""
        facts = self._facts
        if facts is not self._told:
            self._status, self._told = Status(*facts), facts
        return self._status

    async def transfer_leadership(self, target: str | None) -> str:
        """See interface.Replica."""
        chosen: asyncio.Future[str | None] = self._loop.create_future()

        def begin() -> None:
            if not chosen.done():  # whoever asked may have given up
                self._loop.call_soon_threadsafe(tell, self._core.begin_transfer(target))

        def tell(name: str | None) -> None:
            if not chosen.done():
                chosen.set_result(name)

        self._requests.append(begin)
        self._core.wake()
        name = await chosen
        if name is None:
            raise TransferFailed("this node does not lead, or has no connection to the target; ask the leader")
        return await self._wait_for_leader(name)

    async def _wait_for_leader(self, name: str) -> str:
        deadline = self._loop.time() + 2 * timing.TRANSFER
        while self._loop.time() < deadline:
            status = self.status()
            if status.role is not Role.LEADER and status.leader is not None:
                return status.leader
            await asyncio.sleep(timing.POLL)
        raise TransferFailed(f"{name} did not take over in time; the old leader goes on")
