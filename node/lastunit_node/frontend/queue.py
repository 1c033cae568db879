"""Work that waits for the next log entry: first in, first out, bounded by commands, by bytes, and by answers kept.

Reads wait apart: all of them join the next entry, however many commands stand before it.
"""

from collections import OrderedDict
from typing import Final

from lastunit_node.frontend.errors import queue_full
from lastunit_node.frontend.work import Work
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_MESSAGE_BYTES

MAX_QUEUED: Final = 16 * MAX_COMMANDS  # commands and reads: at 30,000 a second, two seconds' worth
MAX_QUEUED_BYTES: Final = 16 * MAX_MESSAGE_BYTES
MAX_RANGES_QUEUED: Final = 1_000_000  # in the answers of what waits in part: 120 MB


class WorkQueue:
    """A bounded queue of Work. Withdrawn work leaves it at once, so that it takes no room."""

    def __init__(self) -> None:
        self._commands: OrderedDict[Work, None] = OrderedDict()
        self._reads: OrderedDict[Work, None] = OrderedDict()
        self.weight = 0  # commands and reads that wait
        self._bytes = 0
        self._ranges = 0

    def __bool__(self) -> bool:
        return bool(self._commands or self._reads)

    @property
    def calls(self) -> int:
        """How many wait."""
        return len(self._commands) + len(self._reads)

    def put(self, work: Work, *, first: bool = False) -> None:
        """Add work at the end, or before all; CallError RESOURCE_EXHAUSTED when there is no room for it."""
        assert work.weight <= MAX_COMMANDS, "a piece of work fits an entry"
        assert work.size <= MAX_MESSAGE_BYTES, "a piece of work fits an entry"
        if self.weight + work.weight > MAX_QUEUED or self._bytes + work.size > MAX_QUEUED_BYTES:
            raise queue_full()
        if work.ranges and self._ranges + work.ranges > MAX_RANGES_QUEUED:
            raise queue_full()
        line = self._line_of(work)
        line[work] = None
        if first:
            line.move_to_end(work, last=False)
        self._count(work, 1)

    def take_reads(self) -> list[Work]:
        """Remove all reads."""
        reads = list(self._reads)
        for read in reads:
            self.withdraw(read)
        return reads

    def take_commands(self, apart: int) -> list[Work]:
        """Remove from the front as much as fits one entry, and came within so many ticks of the first."""
        taken: list[Work] = []
        commands = size = 0
        for work in self._commands:
            commands += work.weight
            size += work.size
            if commands > MAX_COMMANDS or size > MAX_MESSAGE_BYTES:
                break
            if taken and abs(work.clock - taken[0].clock) > apart:
                break
            taken.append(work)
        for work in taken:
            self.withdraw(work)
        return taken

    def withdraw(self, work: Work) -> None:
        """Remove work from wherever it stands, if it still waits here."""
        line = self._line_of(work)
        if work in line:
            del line[work]
            self._count(work, -1)

    def _line_of(self, work: Work) -> OrderedDict[Work, None]:
        return self._reads if work.is_read else self._commands

    def _count(self, work: Work, sign: int) -> None:
        self.weight += sign * work.weight
        self._bytes += sign * work.size
        self._ranges += sign * work.ranges
