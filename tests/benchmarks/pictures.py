"""Two pictures of a run, from its JSON: `make bench ARGS=--pictures`, or `python -m benchmarks.pictures` afterwards.

docs/bench-throughput.svg   orders a second by callers, closed loop
docs/bench-latency.svg      latency by percentile at 75 % of each system's own maximum, from the intended start
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

SOURCE = Path("build/bench/latest.json")
FOLDER = Path("docs")
PERCENT = 75
SHOWN = {
    ("lastunit", "place"): "lastunit, 3 nodes",
    ("etcd", "put"): "etcd, 3 nodes: put, no stock check",
    ("etcd", "claim a unit"): "etcd, 3 nodes: claim one of many keys",
    ("etcd", "compare-and-swap"): "etcd, 3 nodes: compare-and-swap",
    ("redis", "lua"): "Redis, 1 node: Lua",
    ("postgres", "update + insert"): "PostgreSQL, 1 node",
    ("tigerbeetle", "pending transfer"): "TigerBeetle: pending transfers",
    ("echo", "place"): "ceiling: an echo, 1 process",
}


def draw_all(source: Path = SOURCE, folder: Path = FOLDER) -> list[Path]:
    """Draw both pictures; where they are."""
    content = json.loads(source.read_text(encoding="utf-8"))
    folder.mkdir(exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lastunit"}):  # equal files for equal figures
        return [
            _save(throughput(content), content, folder / "bench-throughput.svg"),
            _save(latency(content), content, folder / "bench-latency.svg"),
        ]


def throughput(content: Mapping[str, Any]) -> Figure:
    """Orders a second by callers."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, rows in _lines(content["results"], suffix=""):
        callers = [row["callers"] for row in rows]
        axes.plot(callers, [row["orders_per_s"] for row in rows], marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="callers", ylabel="orders a second", title="Orders of one unit of one hot sku")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def latency(content: Mapping[str, Any]) -> Figure:
    """Milliseconds by percentile: each further nine is as far as the one before."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, rows in _lines(content["curves"], suffix=f", open loop {PERCENT} %"):
        rates = {(row["system"], row["nodes"], row["workload"]): row["orders_per_s"] for row in content["results"]}
        rate = rates[rows[0]["system"], rows[0]["nodes"], rows[0]["workload"]]
        points = {100 / (100 - float(percent)): ms for percent, ms in rows[0]["ms_by_percentile"].items()}
        axes.plot(list(points), list(points.values()), marker=".", label=f"{name}, {rate:,.0f}/s")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([2, 10, 100, 1_000, 10_000], ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="percentile", ylabel="ms from the intended start", title=f"Latency at {PERCENT} % of the maximum")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _lines(rows: Sequence[dict[str, Any]], suffix: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What is shown, with its rows by callers; five nodes of lastunit are in the table only."""
    for (system, workload), name in SHOWN.items():
        wanted = (system, workload + suffix, 1)
        found = [row for row in rows if (row["system"], row["workload"], row["batch"]) == wanted and row["nodes"] != 5]
        if found:
            yield name, sorted(found, key=lambda row: int(row["callers"]))


def _save(figure: Figure, content: Mapping[str, Any], path: Path) -> Path:
    """Write it, with where and when below."""
    figure.supxlabel(f"{content['machine']}; {content['date'][:10]}; `make bench`", fontsize="x-small")
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    for picture in draw_all():
        print(f"drew {picture}", file=sys.stderr)
