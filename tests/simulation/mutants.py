"""Bugs planted one at a time, to see that the simulator finds them: `make mutants`.

One that is not found within its bound of seeds means that the simulator is too tame. The bugs are in planted_raft.py
and planted_state.py.
"""

import argparse
import json
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from simulation import planted_raft, planted_state
from simulation.__main__ import require_fixed_hashes
from simulation.planting import MUTANTS, Mutant
from simulation.runner import run_seeds

OUT = Path("build/simulation/mutants.json")
_PLANTED = (planted_raft, planted_state)  # importing them registers their mutants


def hunt(planted: Mutant, bound: int) -> dict[str, Any]:
    """Run seeds until one finds it."""
    begun, seeds = monotonic(), 0
    found = None
    for report in run_seeds(range(bound), planted.nodes, planted.plant):
        seeds += 1
        if report.violation:
            found = report
            break
    return {
        "name": planted.name,
        "nodes": planted.nodes,
        "found": found is not None,
        "seeds": seeds,
        "wall_seconds": round(monotonic() - begun, 1),
        "seed": found.seed if found else None,
        "violation": found.violation if found else None,
    }


def line(row: dict[str, Any]) -> str:
    verdict = f"seed {row['seed']}: {row['violation'][:90]}" if row["found"] else "NOT FOUND"
    return f"{row['name']:58} {row['nodes']} {row['seeds']:5} {row['wall_seconds']:6.1f} s  {verdict}"


def main() -> int:
    require_fixed_hashes()
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, help="within which each is to be found, in the place of its own bound")
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    parser.add_argument("--out", type=Path, default=OUT, help="where the results are written")
    arguments = parser.parse_args()
    rows = []
    print(f"{'planted bug':58} n {'seeds':>5} {'wall':>8}  what found it")
    for planted in MUTANTS:
        if arguments.only in planted.name:
            rows.append(hunt(planted, arguments.seeds or planted.bound))
            print(line(rows[-1]), flush=True)
    missed = [row["name"] for row in rows if not row["found"]]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"mutants": rows, "missed": missed}, indent=2) + "\n")
    print(f"{len(missed)} of {len(rows)} missed" if missed else f"all {len(rows)} found", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
