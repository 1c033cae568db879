"""Faults on a real cluster: `make chaos MINUTES=10 NODES=3 SEED=1`. Exit status 1 when a promise was broken."""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from chaos.report import write_report
from chaos.run import Outcome, Plan, run

OUT = Path("build/chaos")
INTERRUPTED = 130


def main() -> int:
    """Run, judge, report."""
    plan = parse_plan()
    OUT.mkdir(parents=True, exist_ok=True)
    for log in OUT.glob("n?.log"):
        log.unlink()
    try:
        with tempfile.TemporaryDirectory(prefix="lastunit-chaos-", ignore_cleanup_errors=True) as folder:
            outcome = asyncio.run(until_ended(run(plan, Path(folder), OUT / "history.jsonl")))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing of the cluster is left", file=sys.stderr)
        return INTERRUPTED
    summary = write_report(outcome, OUT)
    print(summary)
    return 1 if outcome.verdict.violations else 0


async def until_ended(running: Coroutine[object, object, Outcome]) -> Outcome:
    """Run; SIGTERM ends it as Ctrl-C does, with nothing left behind."""
    task = asyncio.ensure_future(running)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def parse_plan() -> Plan:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of faults; a minute or so comes on top")
    parser.add_argument("--nodes", type=int, choices=[3, 5], default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--every", type=float, default=2.0, help="mean seconds from one fault to the next")
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second of all buyers; probes come on top")
    given = parser.parse_args()
    return Plan(given.seed, given.nodes, given.minutes * 60, given.every, rate=given.rate)


if __name__ == "__main__":
    sys.exit(main())
