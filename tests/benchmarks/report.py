"""Medians and spread: as a table, and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from benchmarks.histogram import Latencies
from benchmarks.measure import Span
from benchmarks.plan import Case, System
from benchmarks.rounds import Figure, Outcome


def result(system: System, case: Case, figures: Sequence[Figure]) -> dict[str, Any]:
    """Medians over the rounds; spread: (largest - smallest) / median of the throughputs."""
    rates = [figure.orders_per_s for figure in figures]
    median = statistics.median(rates)
    return {
        "system": system.name,
        "workload": case.label,
        "callers": case.callers,
        "batch": case.batch,
        "nodes": system.nodes,
        "orders_per_s": round(median, 1),
        "p50_ms": round(statistics.median(figure.latencies.percentile_ms(50) for figure in figures), 3),
        "p99_ms": round(statistics.median(figure.latencies.percentile_ms(99) for figure in figures), 3),
        "spread": round((max(rates) - min(rates)) / median, 3) if median else 0.0,
    }


def curve(system: System, case: Case, figures: Sequence[Figure]) -> dict[str, Any]:
    """Latencies of all rounds together."""
    together = Latencies()
    for figure in figures:
        together.add(figure.latencies)
    named = {"system": system.name, "workload": case.label, "callers": case.callers, "nodes": system.nodes}
    return {**named, "batch": case.batch, "answers": len(together), "ms_by_percentile": together.curve_ms()}


def machine() -> str:
    """What it ran on."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _processor() -> str:
    """The processor's name where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def document(outcome: Outcome, rounds: int, span: Span) -> dict[str, Any]:
    """Everything that a program may ask."""
    return {
        "machine": machine(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "seconds": span.counted,
        "warm_up_seconds": span.warm_up,
        "systems": outcome.systems,
        "problems": outcome.problems,
        "results": [result(*key, figures) for key, figures in outcome.measured.items()],
        "curves": [curve(*key, figures) for key, figures in outcome.measured.items()],
    }


def write(content: Mapping[str, Any], path: Path) -> None:
    """Write the JSON, making its folder; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    scratch.replace(path)


def table(content: Mapping[str, Any]) -> Table:
    """For people."""
    made = Table("system", "nodes", "workload", box=None, pad_edge=False)
    for heading in ("callers", "batch", "orders/s", "p50 ms", "p99 ms", "spread"):
        made.add_column(heading, justify="right")
    before = None
    for row in content["results"]:
        if before not in (None, (row["system"], row["nodes"])):
            made.add_section()
        before = row["system"], row["nodes"]
        made.add_row(
            row["system"],
            str(row["nodes"]),
            row["workload"],
            str(row["callers"]),
            str(row["batch"]),
            f"{row['orders_per_s']:,.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['spread']:.0%}",
        )
    return made
