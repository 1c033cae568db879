"""What a run found, for people and for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

LATEST: Final = Path("build/bench/growth.json")
LEAST_WIDTH: Final = 110  # else columns are cut where the output is no terminal
TARGET_RATIO: Final = 0.7
TARGET_RESTART_S: Final = 10.0
TARGET_STALL_MS: Final = 100.0

Figures = dict[str, Any]


def plain(value: Any) -> Any:
    """Dataclasses as dicts, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value


class Findings:
    """What was measured so far; each piece is in build/bench/growth.json at once, should the run end early."""

    def __init__(self) -> None:
        self.figures: Figures = {}

    def add(self, name: str, value: Any) -> None:
        """One more section."""
        self.figures[name] = plain(value)
        LATEST.parent.mkdir(parents=True, exist_ok=True)
        LATEST.write_text(json.dumps(self.figures, indent=2) + "\n", encoding="utf-8")


def show(figures: Figures) -> None:
    """Tables of what there is."""
    console = Console()
    console.width = max(console.width, LEAST_WIDTH)
    if "loaded" in figures:
        plan, made = figures["plan"], figures["loaded"]
        console.print(
            f"{made['skus']:,} skus, {made['reservations']:,} reservations (loaded in {made['seconds']:g} s); 3 nodes, "
            f"{plan['rounds']} rounds of {plan['seconds']:g} s; {figures['machine']['cpus']} CPUs"
        )
    for table in (throughput(figures), steady(figures), single_figures(figures), targets(figures)):
        if table.row_count:
            console.print(table)


def table_of(title: str, *columns: str) -> Table:
    """An empty table; figures stand right."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def waits_cells(waits: Figures) -> list[str]:
    """One set of waits as cells."""
    names = ("orders_per_s", "p50_ms", "p99_ms", "slowest_ms", "longest_gap_ms")
    return [f"{waits[name]:,.0f}" if name == "orders_per_s" else f"{waits[name]:,.1f}" for name in names]


WAITS_COLUMNS: Final = ("orders/s", "p50 ms", "p99 ms", "slowest ms", "longest gap ms")


def throughput(figures: Figures) -> Table:
    """Empty against loaded."""
    table = table_of("64 callers", "workload", "state", *WAITS_COLUMNS, "loaded / empty")
    for workload, found in figures.get("throughput", {}).items():
        table.add_row(workload, "empty", *waits_cells(found["empty"]))
        table.add_row("", "loaded", *waits_cells(found["loaded"]), f"{found['ratio']:.2f}")
    return table


STEADY: Final = {
    "trimming empty": "empty: log entries are trimmed",
    "trimming loaded": "loaded: log entries are trimmed",
    "expiry": "loaded: very many holds expire",
    "rejoin": "loaded: a wiped node fetches a copy",
}


def steady(figures: Figures) -> Table:
    """What a light load felt."""
    table = table_of("a light load (4 callers) meanwhile", "", *WAITS_COLUMNS, "elections")
    for section, name in STEADY.items():
        if section in figures:
            found = figures[section]
            table.add_row(name, *waits_cells(found["waits"]), str(found.get("elections", "")))
    return table


def single_figures(figures: Figures) -> Table:
    """One figure a line."""
    table = table_of("", "figure", "value")
    for section in ("start", "sizes", "trimming empty", "trimming loaded", "restart", "expiry", "rejoin", "ticks"):
        for name, value in figures.get(section, {}).items():
            if not isinstance(value, dict | list):
                table.add_row(f"{section}: {name}", str(value) if isinstance(value, bool | str) else f"{value:,}")
    return table


def targets(figures: Figures) -> Table:
    """The targets of growth, and whether this run kept them."""
    table = table_of("targets", "", "target", "measured", "")
    for name, target, measured, holds in judged(figures):
        table.add_row(name, target, measured, "holds" if holds else "missed")
    return table


def judged(figures: Figures) -> Iterator[tuple[str, str, str, bool]]:
    """Name, target, measured, whether it holds."""
    for workload, found in figures.get("throughput", {}).items():
        kept = found["ratio"]
        yield f"throughput kept, {workload}", f">= {TARGET_RATIO}", f"{kept:.2f}", kept >= TARGET_RATIO
    if "restart" in figures:
        seconds = figures["restart"]["caught_up_s"]
        yield "restart", f"<= {TARGET_RESTART_S:g} s", f"{seconds:g} s", seconds <= TARGET_RESTART_S
    for section, name in (("trimming loaded", "trimming"), ("expiry", "expiring")):
        if section in figures:
            stall = figures[section]["waits"]["slowest_ms"]
            yield f"slowest order while {name}", f"<= {TARGET_STALL_MS:g} ms", f"{stall:g} ms", stall <= TARGET_STALL_MS
