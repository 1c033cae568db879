"""Batches commands into log entries: whatever arrives while a proposal is in flight becomes the next entry.

No lingering by a clock: an idle batcher proposes at once. But an entry costs as much as several calls, and a busy event
loop takes in one call at a time, while many that were just answered are about to ask again. So the next entry is begun
when as many calls are here as were when the last one was answered, if that was just now, or when the loop has turned so
often that they would have come in by then: TURNS, and TURNS_A_CALL for each. Whoever is alone waits for nobody.

One batch is under way (docs/raft-rules.md, rule 7): a second beside it made entries smaller, and the nodes busier with
each other than with orders. A batch whose attempt failed is proposed again, with back-off, a fresh nonce and its first
stamp, until it is applied or nobody waits for it any more; ids make that safe. Its commands stay together, because the
stamp is the entry's. What the state machine postponed, because it was too much for one entry, waits for another one:
the work that filled it behind all others, what stood behind that one before them.

Reads join each attempt that has not begun: the entry is then proposed after the read arrived (rule 11).
"""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final

from lastunit_node.frontend.errors import CallError, deadline_exceeded, internal, queue_full, stopping, unavailable
from lastunit_node.frontend.queue import WorkQueue
from lastunit_node.frontend.work import Answers, Batch, Work
from lastunit_node.replica.interface import DEFINITE, FailureReason, ProposalFailed, Replica
from lastunit_node.statemachine.brief import Brief
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Entry
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_TICK
from lastunit_node.statemachine.results import Applied

TURNS: Final = 128  # of the event loop, at most, before an entry that calls may share
TURNS_A_CALL: Final = 24  # and so many more for each; a loop that is busy with them brings one in ten turns
PRESENT_SECONDS: Final = 0.05  # callers who were answered longer ago have gone: a lone call spun for 160 ms for 4,096
FIRST_PAUSE: Final = 0.01  # seconds between attempts, doubled up to LAST_PAUSE; each is cut by up to half, at random
LAST_PAUSE: Final = 0.1

_WHY: Final = {
    FailureReason.QUEUE_FULL: "the replica's queue was full until the deadline",
    FailureReason.NO_LEADER: "no leader was known until the deadline",
    FailureReason.DISCARDED: "a new leader discarded the entry, and there was no time for another attempt",
}

log = logging.getLogger(__name__)


class Batcher:
    """Gets commands and reads applied through the replica. All methods are called on one event loop."""

    def __init__(self, replica: Replica, rng: random.Random | None = None) -> None:
        self._replica = replica
        self._rng = rng or random.SystemRandom()
        self._queue = WorkQueue()
        self._present = 0  # calls that were here when the last batch was answered,
        self._present_at = 0.0  # at this time of the loop
        self._batch: Batch | None = None  # under way
        self._wake = asyncio.Event()  # something waits
        self._attempting = asyncio.Lock()  # kept during an attempt, and by held()
        self._refusal: CallError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether work is taken: between start() and stop(), unless a bug ended it."""
        return self._task is not None and self._refusal is None

    def start(self) -> None:
        """Begin to propose."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Propose nothing any more; whatever waits is answered UNAVAILABLE."""
        self._refuse(stopping(definite=True), lambda work: stopping(definite=not work.exposed))
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def run(self, commands: Sequence[Command | Brief], deadlines: Sequence[float], size: int) -> Answers:
        """Get commands applied: at least one, at most an entry's worth, checked. One answer per command.

        deadlines are per command, in loop time; the answers come by the latest of them. size is the request's
        bytes. CallError when the queue is full. Cancel it to withdraw what is not yet proposed.
        """
        return await self._answered(Work(commands, deadlines, size, self._replica.clock()))

    async def barrier(self, deadline: float) -> int:
        """Wait until this node has applied an entry that was proposed after this call; that index. Else CallError."""
        return (await self._answered(Work((), (deadline,), 0, 0))).applied_index

    def held(self) -> AbstractAsyncContextManager[None]:
        """Let the attempt under way end, and begin no other meanwhile. What arrives waits."""
        return self._attempting

    async def _answered(self, work: Work) -> Answers:
        if self._refusal:
            raise replace(self._refusal)
        self._queue.put(work)
        self._wake.set()
        timer = asyncio.get_running_loop().call_at(work.latest, self._expire, work)
        try:
            return await work.done
        finally:
            timer.cancel()
            self._queue.withdraw(work)

    async def _serve(self) -> None:
        try:
            while self._refusal is None:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._gathered()
                    await self._configured()
                    await self._serve_next()
        except Exception:
            log.exception("the batcher broke; this node answers no more calls")
            message = "the front end broke"
            self._refuse(internal(message, definite=True), lambda work: internal(message, definite=not work.exposed))

    async def _serve_next(self) -> None:
        self._batch = batch = self._next_batch()
        await self._see_through(batch)
        self._batch = None
        self._present = len(batch.works) + self._queue.calls
        self._present_at = asyncio.get_running_loop().time()
        batch.works.clear()  # each knows its batch: else all of it waits for a garbage collection

    async def _gathered(self) -> None:
        """Let those calls come in that are on their way, as those that were just here tell. No clock is waited for."""
        is_recent = asyncio.get_running_loop().time() - self._present_at < PRESENT_SECONDS
        expected, turns = self._present if is_recent else 0, 0
        most = TURNS + TURNS_A_CALL * expected if expected > 1 else 0
        while turns < most and self._queue.calls < expected and self._queue.weight < MAX_COMMANDS:
            os.sched_yield()  # to those whose calls are awaited, where they share our processor
            await asyncio.sleep(0)
            turns += 1

    async def _configured(self) -> None:
        """Wait for the cluster's parameters, without which an entry cannot be stamped."""
        while (status := self._replica.status()).parameters is None:
            await self._replica.wait_applied(status.applied_index + 1)

    def _next_batch(self) -> Batch:
        """What fits the next entry, stamped to a tick less than half the retention from when the first of it came.

        An id closed at tick c is forgotten when the clock is c + retention; an entry acts while the clock is at most
        its stamp. A client repeats an id for half the retention, which has half of its ticks, rounded up, at most:
        the last repeat is stamped c + retention - 1 then (from four ticks on), and no copy meets a forgotten id,
        however long it waited here: for a leader, or in a machine that was suspended. What waited much longer than
        what came behind it has an entry of its own.
        """
        status = self._replica.status()
        assert status.parameters, "configured for good"
        retention = status.parameters.retention_ticks
        works = self._queue.take_commands(apart=retention // 8)
        since = min([work.clock for work in works], default=status.clock)
        batch = Batch(valid_until_tick=since + max(1, retention // 2 - 1))
        batch.add(works)
        return batch

    async def _see_through(self, batch: Batch) -> None:
        pause = FIRST_PAUSE
        while True:
            async with self._attempting:
                batch.add(self._queue.take_reads())
                batch.prune(asyncio.get_running_loop().time(), self._overdue)
                if not batch.works or await self._attempt(batch):
                    return
            await asyncio.sleep(self._rng.uniform(pause / 2, pause))
            if batch.failure is not FailureReason.NO_LEADER:  # which this node knows by itself, and asks nobody
                pause = min(pause * 2, LAST_PAUSE)

    async def _attempt(self, batch: Batch) -> bool:
        """Propose the batch once; whether all of it is answered."""
        was_exposed, batch.exposed = batch.exposed, True
        try:
            applied = await self._propose(batch)
            self._put_back(batch.answer(applied, was_exposed))
        except ProposalFailed as failure:
            batch.exposed = was_exposed or not failure.definite
            batch.failure = failure.reason
            if failure.reason is not FailureReason.STOPPING:
                return False
            batch.give_up(lambda work: stopping(definite=not work.exposed))
        return True

    def _put_back(self, postponed: list[Work]) -> None:
        """Behind all that waits goes the first, which filled the entry: who asks for much lets others pass.

        The rest stood behind it, and stay where they were: else they would stand behind it in every entry until it is
        through.
        """
        for work in reversed(postponed):
            try:
                self._queue.put(work, first=work is not postponed[0])
            except CallError:
                work.give_up(queue_full(definite=not work.exposed))

    async def _propose(self, batch: Batch) -> Applied:
        commands = batch.commands()
        nonce = 1 + self._rng.getrandbits(63)  # 0 is that of a no-op
        applied = await self._replica.propose(encode_entry(Entry(nonce, batch.valid_until_tick, commands)))
        if applied.nonce != nonce or len(applied.answers) != len(commands):
            raise ProposalFailed(FailureReason.UNKNOWN)
        return applied

    def _expire(self, work: Work) -> None:
        work.give_up(self._overdue(work))

    def _overdue(self, work: Work) -> CallError:
        """The error for work whose deadline has passed."""
        failure = work.batch.failure if work.batch else None
        if work.exposed:
            reason = "DEADLINE" if failure is None or failure in DEFINITE else failure.value
            return deadline_exceeded(reason, definite=False)
        if failure:
            return unavailable(failure.value, _WHY.get(failure, "leadership did not settle before the deadline"))
        return self._never_attempted()

    def _never_attempted(self) -> CallError:
        status = self._replica.status()
        if status.parameters is None:
            return unavailable("NOT_CONFIGURED", "the cluster has no parameters yet")
        if not status.has_quorum:
            return unavailable("NO_QUORUM", "no majority of the cluster answered before the deadline")
        return deadline_exceeded("DEADLINE", definite=True)

    def _refuse(self, refusal: CallError, error: Callable[[Work], CallError]) -> None:
        """Take no more work, and answer what is here."""
        if self._refusal:
            return
        self._refusal = refusal
        if self._batch:
            self._batch.give_up(error)
        while self._queue:
            for work in [*self._queue.take_commands(MAX_TICK), *self._queue.take_reads()]:
                work.give_up(error(work))
