"""All systems, one after the other, several times: so that a machine that grows slower or busier wrongs none of them.

A system is started for its turn and ended after it, so that only one at a time takes the machine. Figures of a turn
count when everything was answered rightly, and when the system held in the end what it had answered.
"""

import gc
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.histogram import Latencies
from benchmarks.measure import Sample, Span, closed_loop, open_loop
from benchmarks.plan import Case, Live, System

WARM_CALLERS = 64


class Figure(NamedTuple):
    """What one measurement came to."""

    orders_per_s: float
    latencies: Latencies


@dataclass
class Outcome:
    """What was measured, round by round, and what is to be said about it."""

    measured: dict[tuple[System, Case], list[Figure]] = field(default_factory=lambda: defaultdict(list))
    systems: dict[str, str] = field(default_factory=dict)  # version by name, or why it was skipped
    problems: list[str] = field(default_factory=list)


class Progress(NamedTuple):
    """Where a run is: about to take measurement `number` of `total`."""

    number: int
    total: int
    round: int
    what: str


def name_of(system: System) -> str:
    """How a system is called beside others."""
    return f"{system.name}, {system.nodes} nodes" if system.nodes > 1 else system.name


class Rounds:
    """One run. What cannot be measured here is left out, and `outcome` says why; what it started is always ended."""

    def __init__(self, systems: Sequence[System], rounds: int, span: Span, show: Callable[[Progress], None]) -> None:
        self.outcome = Outcome()
        self._systems = [system for system in systems if self._is_present(system)]
        self._rounds = rounds
        self._span = span
        self._show = show
        self._total = rounds * sum(len(system.cases) for system in self._systems)
        self._number = 0

    def _is_present(self, system: System) -> bool:
        reason = system.missing()
        self.outcome.systems[system.name] = f"skipped: {reason}" if reason else system.version()
        return reason is None

    async def run(self) -> Outcome:
        """Measure everything. A system that fails is a problem of its own; the others go on."""
        for number in range(1, self._rounds + 1):
            for system in self._systems:
                ends_at = self._number + len(system.cases)
                try:
                    await self._turn(number, system)
                except Exception as failure:
                    said = f"{type(failure).__name__}: {failure}".removesuffix(": ")
                    self.outcome.problems.append(f"{name_of(system)}, round {number}, does not count: {said}")
                self._number = ends_at
        return self.outcome

    async def _turn(self, number: int, system: System) -> None:
        """One system's turn in a round."""
        with tempfile.TemporaryDirectory(prefix=f"lastunit-bench-{system.name}-") as folder:
            async with system.running(Path(folder)) as live:
                turn = Turn(system, live, self._span)
                await turn.warm()
                for case in system.cases:
                    self._number += 1
                    what = f"{name_of(system)}: {case.label} x {case.callers}"
                    self._show(Progress(self._number, self._total, number, what))
                    await turn.measure(case)
                await live.check(turn.done)
        self.outcome.problems += turn.problems
        for case, figure in turn.figures.items():
            self.outcome.measured[system, case].append(figure)


class Turn:
    """The measurements of one system while it runs. done: orders answered rightly, by workload, counted or not."""

    def __init__(self, system: System, live: Live, span: Span) -> None:
        self.done = Counter[str]()
        self.figures: dict[Case, Figure] = {}
        self.problems: list[str] = []
        self._system = system
        self._live = live
        self._span = span

    async def warm(self) -> None:
        """Some load before the first measurement: caches, connections, files that grow at first."""
        case = self._system.cases[0]
        callers = max(case.callers, WARM_CALLERS)
        operation = self._live.operations[case.workload]
        sample = await closed_loop(operation, callers, case.batch, Span(0.0, self._span.warm_up))
        self.done[case.workload] += sample.all_right

    async def measure(self, case: Case) -> None:
        """Take one figure; none from wrong answers, and none below a maximum that was not measured."""
        closed = Case(case.workload, case.callers, case.batch)
        if case.percent and closed not in self.figures:
            return
        gc.collect()  # what the measurement before has left is not to be collected in this one
        gc.freeze()  # nor is what stays: one full collection of the libraries stops every caller for 50 ms
        sample = await self._sample(case, closed)
        self.done[case.workload] += sample.all_right
        if sample.wrong or not sample.right:
            answers = f"{sample.wrong} wrong answers" if sample.wrong else "nothing was answered in time"
            self.problems.append(f"{name_of(self._system)}, {case.label} x {case.callers}: {answers}")
        else:
            self.figures[case] = Figure(sample.orders_per_s, Latencies(sample.latencies))

    async def _sample(self, case: Case, closed: Case) -> Sample:
        operation = self._live.operations[case.workload]
        if not case.percent:
            return await closed_loop(operation, case.callers, case.batch, self._span)
        rate = self.figures[closed].orders_per_s * case.percent / 100
        return await open_loop(operation, case.callers, case.batch, rate, self._span)
