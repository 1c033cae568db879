"""Measure how lastunit bears a large state: `make bench-growth`; see ARGS below for a quick run.

make bench-growth ARGS="--skus 10000 --reservations 50000 --holds 5000 --seconds 2 --rounds 1"
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from benchmarks.growth.loader import SPARE
from benchmarks.growth.report import Findings, show
from benchmarks.growth.run import NoRoom, Plan, require_room, run
from lastunit_node.statemachine.limits import MAX_QUANTITY

INTERRUPTED = 130
REFUSED = 2


def main() -> int:
    """Run, and show what was found, also when it ends early."""
    options = parse_options()
    plan = Plan(options.skus, options.reservations, options.holds, options.seconds, options.rounds, options.limit)
    findings = Findings()
    try:
        run_in_folders(plan, options.keep, findings)
    except (KeyboardInterrupt, asyncio.CancelledError):
        tell("stopped; no node runs any more")
        return INTERRUPTED
    except (NoRoom, ValueError) as problem:
        tell(str(problem))
        return REFUSED
    finally:
        show(findings.figures)
    return 0


def run_in_folders(plan: Plan, keep: Path | None, findings: Findings) -> None:
    """Clusters live in a folder that goes with them, beside the kept state if that is kept."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lastunit-growth-", dir=keep, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        require_room(folder, plan)
        kept = (keep or folder) / f"state-{plan.skus}-{plan.reservations}"
        asyncio.run(until_ended(run(plan, folder, kept, findings, tell)))


async def until_ended(running: Coroutine[object, object, None]) -> None:
    """Run; SIGTERM ends it as Ctrl-C does, with nothing left behind."""
    task = asyncio.ensure_future(running)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


def tell(line: str) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--skus", type=int, default=1_000_000)
    parser.add_argument("--reservations", type=int, default=5_000_000)
    parser.add_argument("--holds", type=int, default=200_000, help="that expire at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="of one round of load")
    parser.add_argument("--rounds", type=int, default=3, help="on each cluster, per workload")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a single wait is given up")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the loaded state there for the next run")
    options = parser.parse_args()
    most = MAX_QUANTITY - SPARE
    if not options.skus >= 1 or not options.reservations >= 1 or options.reservations // options.skus >= most:
        parser.error(f"--skus and --reservations must be positive, and a sku has fewer than {most:,} reservations")
    if not 1 <= options.holds <= MAX_QUANTITY or options.rounds < 1 or options.seconds <= 0 or options.limit <= 0:
        parser.error(f"--holds must be 1 to {MAX_QUANTITY:,}; --rounds, --seconds and --limit must be positive")
    return options


if __name__ == "__main__":
    sys.exit(main())
