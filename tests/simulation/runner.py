"""Many seeds, each in a process of its own, on all cores. A process that dies or hangs is a violation too."""

import gc
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from simulation.planting import CannotPlant
from simulation.world import Report, World

SEED_SECONDS = 300.0  # of real time
MEMORY = Path("/dev/shm")


class Job(NamedTuple):
    """A seed under way."""

    seed: int
    process: BaseProcess
    answer: Connection
    begun: float


def run_seed(seed: int, nodes: int, *, trace: bool = False) -> Report:
    """One seed in this process, which it leaves unfit for another: PySyncObj's clock is replaced."""
    with tempfile.TemporaryDirectory(prefix="lastunit-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        return World(seed, nodes, Path(folder), trace=trace).run()


def run_seeds(seeds: Iterable[int], nodes: int, plant: Callable[[], None] | None = None) -> Iterator[Report]:
    """Reports as they come. plant: done first in each seed's process; CannotPlant when it fails."""
    gc.freeze()
    todo = iter(seeds)
    jobs = [job for _ in range(os.cpu_count() or 1) if (job := _begin(todo, nodes, plant))]
    try:
        while jobs:
            wait([job.answer for job in jobs], timeout=1.0)
            for job in [job for job in jobs if _is_over(job)]:
                jobs.remove(job)
                yield _report(job, nodes)
                if following := _begin(todo, nodes, plant):
                    jobs.append(following)
    finally:
        for job in jobs:
            job.process.kill()
            job.process.join()


def _begin(todo: Iterator[int], nodes: int, plant: Callable[[], None] | None) -> Job | None:
    seed = next(todo, None)
    if seed is None:
        return None
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, seed, nodes, plant))
    process.start()
    sender.close()
    return Job(seed, process, receiver, monotonic())


def _work(answer: Connection, seed: int, nodes: int, plant: Callable[[], None] | None) -> None:
    gc.disable()  # one short life; what it leaves goes with its process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who began it, which ends it
    if plant is not None:
        try:
            plant()
        except Exception as problem:  # whatever it is, it is no violation
            answer.send(CannotPlant(f"{plant.__name__}: {problem!r}"))
            return
    answer.send(run_seed(seed, nodes))


def _is_over(job: Job) -> bool:
    return job.answer.poll() or not job.process.is_alive() or monotonic() - job.begun > SEED_SECONDS


def _report(job: Job, nodes: int) -> Report:
    try:
        if job.answer.poll():
            return _received(job)
    except EOFError:
        return Report(job.seed, nodes, violation=f"its process died with exit code {job.process.exitcode}")
    finally:
        job.process.kill()
        job.process.join()
        job.answer.close()
    return Report(job.seed, nodes, violation=f"it did not end within {SEED_SECONDS:g} real seconds")


def _received(job: Job) -> Report:
    report = job.answer.recv()
    if isinstance(report, CannotPlant):
        raise report
    assert isinstance(report, Report)
    job.process.join()
    return report
