"""A node's front end, as far as the log can tell: batches calls into entries and proposes them until answered.

The same rules as lastunit_node.frontend.batcher: two entries in flight; an attempt that failed is made again with the
same commands, a new nonce and the first stamp, which counts from when the calls came, and may be overtaken; calls that
were given up leave the batch; what was postponed waits again, behind the others. A linearizable read is a call without
a command, answered with the index of its entry. When the next entry begins is a matter of speed only: here, as soon as
calls have waited for so long that several share it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pysyncobj.config import FAIL_REASON

from lastunit_node.replica import timing
from lastunit_node.replica.core import ReplicaCore
from lastunit_node.replica.interface import Status
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Entry
from lastunit_node.statemachine.results import Applied, Outcome, Result
from simulation.clock import Clock

MAX_BATCH = 16
MAX_IN_FLIGHT = 2


@dataclass
class Call:
    """One command at one node, until it is answered or the client goes elsewhere."""

    command: Command
    on_answer: Callable[[Result], None]
    over: bool = False
    clock: int = 0  # of the node that it came to, then

    def answer(self, result: Result) -> None:
        if not self.over:
            self.over = True
            self.on_answer(result)


@dataclass
class Barrier:
    """What a linearizable read waits for: an entry proposed after it came."""

    on_answer: Callable[[int], None]  # with the index of the entry
    over: bool = False
    clock: int = 0

    def answer(self, index: int) -> None:
        if not self.over:
            self.over = True
            self.on_answer(index)


class FrontEnd:
    """Lives and dies with its node's process."""

    def __init__(
        self, core: ReplicaCore, clock: Clock, rng: Random, gather: float, check: Callable[[Applied], None]
    ) -> None:
        self._core, self._clock, self._gather = core, clock, gather
        self._queue: list[Call | Barrier] = []
        self._begins_at = 0.0
        self._lanes = [_Lane(core, clock, rng, check, self._wait) for _ in range(MAX_IN_FLIGHT)]

    def submit(self, call: Call | Barrier) -> None:
        call.clock = Status(*self._core.facts()).clock
        self._wait(call)

    def _wait(self, call: Call | Barrier) -> None:
        if not self._queue:
            self._begins_at = self._clock.now + self._gather
        self._queue.append(call)

    def step(self) -> None:
        """Before each turn: begin the next batch where none is under way."""
        for lane in self._lanes:
            if self._queue and lane.is_free() and self._is_time():
                taken, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
                lane.begin(taken)

    def _is_time(self) -> bool:
        return self._clock.now >= self._begins_at or len(self._queue) >= MAX_BATCH

    def die(self) -> None:
        """The process was killed: nothing is proposed or answered any more."""
        for lane in self._lanes:
            lane.dead = True


class _Lane:
    """One batch at a time, and its attempts."""

    def __init__(
        self,
        core: ReplicaCore,
        clock: Clock,
        rng: Random,
        check: Callable[[Applied], None],
        put_back: Callable[[Call], None],
    ) -> None:
        self._core, self._clock, self._rng = core, clock, rng
        self._check, self._put_back = check, put_back
        self._batch: list[Call | Barrier] = []
        self._stamp = 0
        self._nonce = 0  # of the attempt under way
        self.dead = False

    def is_free(self) -> bool:
        """Whether another batch may begin, and can be stamped."""
        self._batch = [call for call in self._batch if not call.over]
        return not self._batch and not self._nonce and Status(*self._core.facts()).parameters is not None

    def begin(self, calls: list[Call | Barrier]) -> None:
        """Propose these calls until they are answered or given up."""
        parameters = Status(*self._core.facts()).parameters
        assert parameters, "free only when configured"
        self._batch = calls
        self._stamp = min(call.clock for call in calls) + parameters.retention_ticks // 2 - 1  # as the batcher has it
        self._attempt()

    def _attempt(self) -> None:
        self._batch = [call for call in self._batch if not call.over]
        if self.dead or self._nonce or not self._batch:
            return
        self._nonce = nonce = 1 + self._rng.getrandbits(63)
        calls = tuple(self._batch)
        commands = tuple(call.command for call in calls if isinstance(call, Call))
        entry = encode_entry(Entry(nonce, self._stamp, commands))
        self._clock.after(timing.ATTEMPT, lambda: self._finish(nonce, calls, None))
        self._core.propose(
            entry,
            lambda applied, reason: self._finish(nonce, calls, applied if reason == FAIL_REASON.SUCCESS else None),
        )

    def _finish(self, nonce: int, calls: tuple[Call | Barrier, ...], applied: Applied | None) -> None:
        """An attempt ended, with a result or without; what comes later from the same attempt is ignored."""
        if self._nonce != nonce or self.dead:
            return
        self._nonce = 0
        if applied is None or applied.nonce != nonce:
            self._clock.after(self._rng.uniform(0.005, 0.1), self._attempt)
            return
        self._check(applied)
        self._batch = []
        results = iter(applied.results)
        for call in calls:
            if isinstance(call, Barrier):
                call.answer(applied.index)
            elif (result := next(results)).outcome is Outcome.POSTPONED:
                self._put_back(call)
            else:
                call.answer(result)
