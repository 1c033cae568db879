"""What is measured: the cases of a system, and what a system has to be able to do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OPEN_LOOP_PERCENTS = (50, 75, 90)

Operation = Callable[[int], Awaitable[int]]
"""One request of the caller with this number (from 0): how many orders of it were answered rightly."""


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement.

    callers: how many go on at once. batch: orders a request. percent: 0 for a closed loop (a caller asks again as soon
    as it is answered); else an open loop at so many percent of what as many callers reached in a closed loop before.
    """

    workload: str
    callers: int
    batch: int = 1
    percent: int = 0

    @property
    def label(self) -> str:
        """The workload, with its loop when that is open."""
        return f"{self.workload}, open loop {self.percent} %" if self.percent else self.workload


def closed(workload: str, *callers: int, batch: int = 1) -> list[Case]:
    """Closed loops of so many callers each."""
    return [Case(workload, number, batch) for number in callers]


def opened(workload: str, callers: int) -> list[Case]:
    """Open loops below the maximum of a closed one."""
    return [Case(workload, callers, percent=percent) for percent in OPEN_LOOP_PERCENTS]


class CheckFailed(Exception):
    """What a system holds in the end is not what it answered."""


def require(claim: bool, problem: str) -> None:
    """CheckFailed unless the claim holds."""
    if not claim:
        raise CheckFailed(problem)


class Live(Protocol):
    """A system that runs."""

    @property
    def operations(self) -> Mapping[str, Operation]:
        """By workload."""

    async def check(self, done: Mapping[str, int]) -> None:
        """Hold what it has to what was answered rightly, by workload, when nothing is under way. Raises CheckFailed."""


class System(Protocol):
    """A system to be measured: started anew, empty, in every round."""

    @property
    def name(self) -> str:
        """In one word."""

    @property
    def nodes(self) -> int:
        """How many processes hold the data."""

    @property
    def cases(self) -> Sequence[Case]:
        """What is measured of it, in this order."""

    def missing(self) -> str | None:
        """Why it cannot be measured here, and what to install; None when it can."""

    def version(self) -> str:
        """Of what is measured."""

    def running(self, folder: Path) -> AbstractAsyncContextManager[Live]:
        """Start it with its data in an empty folder; nothing of it runs after the block."""
