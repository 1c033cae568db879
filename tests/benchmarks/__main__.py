"""`make bench`: lastunit beside its peers, a quarter of an hour; `make bench ARGS=--quick`: lastunit alone, < 40 s.

Do it on a machine that does nothing else. Prints a table; build/bench/latest.json (a quick run: quick.json) is for
programs. Peers: etcd, redis-server and PostgreSQL where they are installed, TigerBeetle where --tigerbeetle says; and
an echo as the ceiling.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.measure import Span
from benchmarks.plan import System
from benchmarks.rounds import Outcome, Progress, Rounds
from benchmarks.systems.echo import Echo
from benchmarks.systems.etcd import Etcd
from benchmarks.systems.lastunit import LastUnit
from benchmarks.systems.postgres import Postgres
from benchmarks.systems.redis import RedisServer
from benchmarks.systems.tigerbeetle import TigerBeetle

OUT = Path("build/bench")
INTERRUPTED = 130
NAMES = ("lastunit", "etcd", "redis", "postgres", "tigerbeetle", "echo")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; exit status 1 when a system gave wrong answers or lost an order."""
    given = parse(arguments)
    span = Span(min(1.0, given.seconds / 3), given.seconds)
    teller = Teller()
    rounds = Rounds(systems(given), given.rounds, span, teller)
    for name, said in rounds.outcome.systems.items():
        print(f"{name} {said}", file=sys.stderr)
    try:
        outcome = asyncio.run(until_ended(rounds))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing that was started still runs", file=sys.stderr)
        return INTERRUPTED
    finally:
        teller.end()
    content = report.document(outcome, given.rounds, span)
    path = OUT / ("quick.json" if given.quick else "latest.json")
    report.write(content, path)
    if given.json:
        print(json.dumps(content))
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(report.table(content))
        print(f"\n{content['machine']}, {content['date']}; also in {path}")
    if given.pictures:
        draw(path)
    for problem in outcome.problems:
        print(problem, file=sys.stderr)
    return 1 if outcome.problems else 0


def draw(path: Path) -> None:
    """Draw docs/*.svg. matplotlib takes a second to import: only when asked."""
    from benchmarks.pictures import draw_all  # noqa: PLC0415

    for picture in draw_all(path, Path("docs")):
        print(f"drew {picture}", file=sys.stderr)


async def until_ended(rounds: Rounds) -> Outcome:
    """Run; SIGTERM, or a terminal that is closed, ends it as Ctrl-C does."""
    task = asyncio.ensure_future(rounds.run())
    for ending in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(ending, task.cancel)
    return await task


def systems(given: argparse.Namespace) -> list[System]:
    """Those to be measured, in their order within a round."""
    known: list[System] = [
        LastUnit(3, given.quick),
        Etcd(),
        RedisServer(),
        Postgres(),
        TigerBeetle(given.tigerbeetle, given.tigerbeetle_cluster),
        Echo(),
        LastUnit(5),
    ]
    if given.quick:
        return known[:1]
    return [system for system in known if system.name in given.only]


class Teller:
    """Says on stderr how far a run is: one line that changes on a terminal, else a line a measurement."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._begun_at = time.monotonic()

    def __call__(self, now: Progress) -> None:
        """About to measure this."""
        taken = time.monotonic() - self._begun_at
        left = taken / (now.number - 1) * (now.total - now.number + 1) if now.number > 1 else None
        minutes = f", {left / 60:.1f} min left" if left is not None else ""
        line = f"round {now.round}, {now.number} of {now.total}{minutes}: {now.what}"
        if self._is_terminal:
            line = "\r\x1b[2K" + line[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(line + ("" if self._is_terminal else "\n"))
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[2K")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="lastunit alone, one round, the most telling figures")
    parser.add_argument("--only", type=chosen, default=NAMES, metavar="A,B", help=f"of {','.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help="how often all are measured; 3")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, after a warm-up; 3")
    parser.add_argument("--tigerbeetle", default="", metavar="ADDRESSES", help="of running replicas: 3001,3002,3003")
    parser.add_argument("--tigerbeetle-cluster", type=int, default=0, metavar="ID", help="their cluster; 0")
    parser.add_argument("--pictures", action="store_true", help="draw docs/bench-*.svg from this run")
    parser.add_argument("--json", action="store_true", help="what is written to build/bench, on stdout")
    given = parser.parse_args(arguments)
    if given.seconds <= 0 or (given.rounds is not None and given.rounds < 1):
        parser.error("--seconds and --rounds must be above 0")
    given.rounds = given.rounds or (1 if given.quick else 3)
    return given


def chosen(names: str) -> tuple[str, ...]:
    """Names of systems, as --only takes them."""
    found = tuple(names.split(","))
    if unknown := set(found) - set(NAMES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
