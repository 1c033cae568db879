"""Run seeds: `make simulate SEEDS=2000 NODES=3`, or `make simulate SEED=17 NODES=3 TRACE=1` for the story of one."""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

from simulation.runner import run_seed, run_seeds
from simulation.world import Report

LATEST = Path("build/simulation/latest.json")


def main() -> int:
    require_fixed_hashes()
    arguments = parse_arguments()
    if arguments.seed is not None:
        report = run_seed(arguments.seed, arguments.nodes, trace=arguments.trace)
        print(json.dumps(vars(report), indent=2))
        return 1 if report.violation else 0
    summary = run_all(range(arguments.first, arguments.first + arguments.seeds), arguments.nodes)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(summary, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(summary, indent=2))
    return 1 if summary["violations"] else 0


def require_fixed_hashes() -> None:
    """PySyncObj iterates over sets of nodes: without this a seed would not repeat."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--nodes", type=int, choices=[3, 5], default=3)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one only, and print its report")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell its story on stderr")
    parser.add_argument("--json", action="store_true", help="print the summary")
    parser.add_argument("--out", type=Path, default=LATEST, help="where the summary is written")
    return parser.parse_args()


def run_all(seeds: range, nodes: int) -> dict[str, Any]:
    begun, reports = monotonic(), []
    for report in run_seeds(seeds, nodes):
        reports.append(report)
        if report.violation:
            print(f"seed {report.seed}: {report.violation}\n  {replay(report)}", file=sys.stderr)
        if not len(reports) % 50 or len(reports) == len(seeds):
            print(f"{len(reports)} of {len(seeds)} seeds, {monotonic() - begun:.0f} s", file=sys.stderr)
    return summarise(reports, nodes, monotonic() - begun)


def replay(report: Report) -> str:
    return f"make simulate SEED={report.seed} NODES={report.nodes} TRACE=1"


def summarise(reports: list[Report], nodes: int, wall_seconds: float) -> dict[str, Any]:
    failed = sorted((report for report in reports if report.violation), key=lambda report: report.seed)
    return {
        "nodes": nodes,
        "seeds": len(reports),
        "simulated_seconds": round(sum(report.seconds for report in reports), 1),
        "simulated_seconds_per_seed": round(sum(report.seconds for report in reports) / max(1, len(reports)), 1),
        "real_seconds_per_seed": round(sum(report.wall_seconds for report in reports) / max(1, len(reports)), 2),
        "wall_seconds": round(wall_seconds, 1),
        "commands_answered": sum(report.answered for report in reports),
        "entries": sum(report.entries for report in reports),
        "leaders": sum(report.leaders for report in reports),
        "slowest_recovery": round(max((report.recovery for report in reports), default=0.0), 2),
        "slowest_failover": round(max((report.failover for report in reports), default=0.0), 2),
        "events": dict(sorted(sum((report.events for report in reports), Counter()).items())),
        "faults": dict(sorted(sum((report.faults for report in reports), Counter()).items())),
        "messages": dict(sorted(sum((report.messages for report in reports), Counter()).items())),
        "violations": [
            {"seed": report.seed, "violation": report.violation, "replay": replay(report)} for report in failed
        ],
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
