"""What waits for the log: the commands of one call (or a read), answered together through one future.

    queued -> in a batch -> proposed, once or more often -> answered
       '-----------'----------------------'-> given up at its deadline, or cancelled by its caller

What an entry was too full for is postponed: the commands that are left go back to the queue, and the next entry carries
twice as many of them as were answered, for every node reads all that an entry carries; of a large message the first one
carries FIRST_BYTES. They are refused when the answers that are there name MAX_RANGES: these take memory until the last
one, and are written in one go, which keeps even Raft waiting.

A command that was given up is answered by an error that says whether it may have been applied: `exposed` holds that
for a whole batch, since all its commands share their attempts.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from lastunit_node.frontend.errors import CallError, response_full
from lastunit_node.replica.interface import FailureReason
from lastunit_node.statemachine.brief import Brief
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.results import Answer, Applied, Outcome, Result

FIRST_BYTES: Final = 1 << 18  # of a message, about: 30 ms of reading where its orders have many lines
MAX_RANGES: Final = 300_000  # of units: 3 MB, or 40 ms; more than any message has whose orders are not in pieces


def _is_postponed(answer: Answer) -> bool:
    return isinstance(answer, Result) and answer.outcome is Outcome.POSTPONED


def _ranges_in(answer: Answer) -> int:
    """How many ranges of units an answer names, and shortages, which take as much memory: some 120 bytes each."""
    if not isinstance(answer, Result):
        return 1
    lines = answer.units if answer.reservation is None else (*answer.units, *answer.reservation.units)
    return len(answer.shortages) + sum([len(line.ranges) for line in lines])


class Answers(NamedTuple):
    """What work came to: the index this node has applied (0 where no entry was), and one answer per command."""

    applied_index: int
    answers: Sequence[Answer | CallError]


class Work:
    """Commands of one call with a deadline each (loop time, seconds). No commands and one deadline: a read.

    clock is this node's, in ticks, when the call came. size is the request's bytes; in an entry the commands take less
    than twice as many (MAX_ENTRY_BYTES). `done` gives Answers; for a read that got none, it raises CallError.
    Cancelling it withdraws what is not yet proposed.
    """

    __slots__ = (
        "_applied_index",
        "_deadlines",
        "_earliest",
        "_exposed",
        "_most",
        "_settled",
        "batch",
        "clock",
        "commands",
        "done",
        "latest",
        "ranges",
        "size",
        "weight",
    )

    def __init__(self, commands: Sequence[Command | Brief], deadlines: Sequence[float], size: int, clock: int) -> None:
        self.commands = commands  # those still to be proposed
        self.clock = clock
        self.size = size
        self.weight = len(commands) or 1  # how much of the queue it takes, in commands; a read counts as one
        self.ranges = 0  # in the answers that wait for the others
        self.latest = max(deadlines)
        self.batch: Batch | None = None
        self.done: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self._deadlines = deadlines
        self._earliest = min(deadlines)
        self._most = len(commands) if size <= FIRST_BYTES else max(1, len(commands) * FIRST_BYTES // size)
        self._exposed = False  # by an attempt of a batch that it has left
        self._settled: dict[int, Answer | CallError] = {}  # by position: what is proposed no more
        self._applied_index = 0  # of the entry that settled the last of them

    @property
    def is_read(self) -> bool:
        """Whether this is a read, which needs an applied entry but has no command in it."""
        return not self.commands

    @property
    def exposed(self) -> bool:
        """Whether an attempt that carries it may be, or become, part of the log. Never for a read."""
        return not self.is_read and (self._exposed or (self.batch is not None and self.batch.exposed))

    def drop_expired(self, now: float, error: Callable[["Work"], CallError]) -> None:
        """Answer the commands whose deadline has passed, and keep only the others."""
        if self._earliest > now:
            return
        if self.latest <= now:
            self.give_up(error(self))
            return
        late = error(self)
        for position, deadline in zip(self._open(), self._deadlines, strict=True):
            if deadline <= now:
                self._settled[position] = late
        kept = [index for index, deadline in enumerate(self._deadlines) if deadline > now]
        self.commands = [self.commands[index] for index in kept]
        self._deadlines = [self._deadlines[index] for index in kept]
        self._earliest = min(self._deadlines)

    def give_up(self, error: CallError) -> None:
        """Answer everything that is still open with this error."""
        if self.is_read and not self.done.done():
            self.done.set_exception(error)
        self._finish(0, [error] * len(self.commands))

    def portion(self) -> Sequence[Command | Brief]:
        """What the next entry carries, or the one under way: the same until that is answered, or a deadline passes."""
        return self.commands if len(self.commands) <= self._most else self.commands[: self._most]

    def answer(self, applied_index: int, answers: Sequence[Answer], exposed: bool) -> bool:
        """Answer the portion that was proposed, in its order; False when commands are left, for some were postponed.

        Those that are left are refused when the others have MAX_RANGES.

        exposed: whether an earlier attempt may be, or become, part of the log.
        """
        is_part = len(answers) < len(self.commands) or (answers and _is_postponed(answers[-1]))
        if is_part and not self.done.done():
            self._keep(answers)
            self._applied_index = applied_index
            self._exposed, self.batch = exposed or self._exposed, None
            if self.ranges < MAX_RANGES:
                return False
            self.give_up(response_full(definite=not self._exposed))
            return True
        self._finish(applied_index, answers)
        return True

    def _keep(self, answers: Sequence[Answer]) -> None:
        """What was answered is settled; of the rest nothing was applied."""
        answered = len(answers)
        while answered and _is_postponed(answers[answered - 1]):
            answered -= 1
        self._settled.update(zip(self._open()[:answered], answers, strict=False))
        self.ranges += sum([_ranges_in(answer) for answer in answers[:answered]])
        self.commands, self._deadlines = self.commands[answered:], self._deadlines[answered:]
        self._most = 2 * answered or self._most
        self.latest, self._earliest = max(self._deadlines), min(self._deadlines)

    def _open(self) -> list[int]:
        """The positions of the commands that are still to be proposed."""
        return [position for position in range(self.weight) if position not in self._settled]

    def _finish(self, applied_index: int, answers: Sequence[Answer | CallError]) -> None:
        if self.done.done():
            return
        if self._settled:
            by_position = self._settled | dict(zip(self._open(), answers, strict=True))
            answers = [by_position[position] for position in range(self.weight)]
        self.done.set_result(Answers(max(applied_index, self._applied_index), answers))


class Batch:
    """Work that shares one log entry, and every attempt to get it there.

    valid_until_tick is stamped once, before the first attempt, and kept for all.
    """

    def __init__(self, valid_until_tick: int) -> None:
        self.valid_until_tick = valid_until_tick
        self.works: list[Work] = []
        self.weight = 0  # commands and reads it was given
        self.exposed = False  # whether an attempt may be, or become, part of the log
        self.failure: FailureReason | None = None  # of the latest attempt

    def add(self, works: Sequence[Work]) -> None:
        """Take more work in. After the first attempt only reads may join."""
        for work in works:
            work.batch = self
            self.weight += work.weight
        self.works += works

    def prune(self, now: float, error: Callable[[Work], CallError]) -> None:
        """Keep only what somebody still waits for."""
        for work in self.works:
            if not work.done.done():
                work.drop_expired(now, error)
        self.works = [work for work in self.works if not work.done.done()]

    def commands(self) -> tuple[Command | Brief, ...]:
        """The commands of the entry, in the order in which answer() expects their answers."""
        return tuple([command for work in self.works for command in work.portion()])

    def answer(self, applied: Applied, exposed: bool) -> list[Work]:
        """Hand every answer to its work; those of which commands were postponed. exposed: by an earlier attempt."""
        left: list[Work] = []
        start = 0
        for work in self.works:
            end = start + len(work.portion())
            if not work.answer(applied.index, applied.answers[start:end], exposed):
                left.append(work)
            start = end
        return left

    def give_up(self, error: Callable[[Work], CallError]) -> None:
        """Answer everything that is still open with an error."""
        for work in self.works:
            work.give_up(error(work))
