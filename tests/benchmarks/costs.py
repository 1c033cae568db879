"""Where the time of an order goes: `make bench-costs`. Microseconds per stage, on the leader and on a follower.

The code that nodes run, called in one thread of one process, stage by stage, for messages of one order and of many.
CPU is the thread's own time; what a COMMIT takes beyond it is waiting for the disk, and has a line of its own. Medians,
so that what else the machine does meanwhile hardly shows. Not in it: gRPC, sockets, polling, and threads that wait
for each other. A small state and one hot sku; benchmarks/growth has the large state. With --pieces every other unit of
the sku is missing, so that each order takes a range of its own: so is what many expired holds and returns leave.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.message import ExecuteMessage
from lastunit_node.frontend.work import Answers
from lastunit_node.replica.frames import FrameReader, encode_frame
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.replica.messages import check_message
from lastunit_node.statemachine.canonical import encode_answers
from lastunit_node.statemachine.codec import decode_entry, encode_entry
from lastunit_node.statemachine.commands import AdjustStock, Command, Configure, Entry, ReceiveStock, UnitRange
from lastunit_node.statemachine.commands import Line as OrderLine
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.hashing import chain_hash
from lastunit_node.statemachine.limits import MAX_RANGES, MAX_TICK
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Applied

ResultT = TypeVar("ResultT")

LATEST: Final = Path("build/bench/costs.json")
HOT: Final = "hot"
TERM: Final = 1
SHARED_COMMIT: Final = 10  # entries in one COMMIT of the state: what comes in 10 ms at a thousand entries a second
FOLLOWERS: Final = 2
ORDERS: Final = {1: 2_000, 100: 300}  # batches that are measured, by orders in a batch
WARM_UP: Final = 100  # batches before that: the files have grown by then
PIECES: Final = 50_000  # more than all the orders
CONFIGURE: Final = Configure(100, 6_000, 36_000, 864_000, 100)
OWNER: Final = Identity("costs", "n1")


class Stage(NamedTuple):
    """A part of the path; how often it is taken per batch on the leader, which serves the call, and on a follower."""

    name: str
    leader: float
    follower: float
    waits: bool = False  # for the disk
    is_part: bool = False  # of the stage above, so it counts in no sum


STAGES: Final = (
    Stage("request: parse, check, make commands", 1, 0),
    Stage("entry: encode", 1, 0),
    Stage("journal: add, COMMIT", 1, 1, waits=True),
    Stage("append: encode a frame per follower", FOLLOWERS, 0),
    Stage("append: decode, check", 0, 1),
    Stage("acknowledgement: encode", 0, 1),
    Stage("acknowledgement: decode, check", FOLLOWERS, 0),
    Stage("state: apply", 1, 1),
    Stage("  of which: decode the entry", 1, 1, is_part=True),
    Stage("  of which: encode results, chain hash", 1, 1, is_part=True),
    Stage(f"state: COMMIT, shared by {SHARED_COMMIT}", 1, 1, waits=True),
    Stage("response: write", 1, 0),
)
ROLES: Final = ("leader_us", "follower_us")
NAMES: Final = [stage.name for stage in STAGES]
(
    CHECK,
    ENCODE,
    JOURNAL,
    SEND,
    RECEIVE,
    ACKNOWLEDGE,
    ACKNOWLEDGED,
    APPLY,
    DECODE,
    CHAIN,
    COMMIT,
    BUILD,
) = NAMES


class Line(NamedTuple):
    """A line of the table: microseconds per batch."""

    stage: str
    leader_us: float
    follower_us: float
    is_part: bool

    def us(self, role: str) -> float:
        """Of one of ROLES."""
        return self.leader_us if role == "leader_us" else self.follower_us


class Meter:
    """Nanoseconds of every stage, batch by batch: the thread's own, and those beyond."""

    def __init__(self) -> None:
        self._cpu: dict[str, list[float]] = defaultdict(list)
        self._waited: dict[str, list[float]] = defaultdict(list)
        for _ in range(1_000):
            self.timed("", int)
        self._own_ns = statistics.median(self._cpu[""])

    def timed(self, stage: str, call: Callable[..., ResultT], *arguments: Any, shared: int = 1) -> ResultT:
        """Call it. shared: by so many batches."""
        begin, begin_cpu = time.perf_counter_ns(), time.thread_time_ns()
        result = call(*arguments)
        cpu = time.thread_time_ns() - begin_cpu
        wall = time.perf_counter_ns() - begin
        self._cpu[stage].append(cpu / shared)
        self._waited[stage].append(max(0, wall - cpu) / shared)
        return result

    def forget(self) -> None:
        """What was measured so far was warming up."""
        self._cpu.clear()
        self._waited.clear()

    def cpu_us(self, stage: str) -> float:
        """Median of the thread's own time, without that of looking at the clock."""
        return max(0.0, statistics.median(self._cpu[stage]) - self._own_ns) / 1e3

    def waited_us(self, stage: str) -> float:
        """Median of the time beyond it."""
        return statistics.median(self._waited[stage]) / 1e3


class Node:
    """Journal and state of one node, without its threads and sockets."""

    def __init__(self, folder: Path, stack: ExitStack, meter: Meter, *, pieces: bool) -> None:
        create_journal(folder / "journal.db", *OWNER)
        self._journal = stack.enter_context(closing(SqliteJournal(folder / "journal.db", *OWNER)))
        self._machine = StateMachine(stack.enter_context(closing(open_state(folder / "state.db", identity=OWNER))))
        self._meter = meter
        self._frames = FrameReader()
        receipts: tuple[Command, ...] = tuple(
            ReceiveStock(f"delivery-{number}", (OrderLine(HOT, 1_000_000),)) for number in range(10)
        )
        for command in (CONFIGURE, *receipts, *(every_other_unit_lost() if pieces else ())):
            self._apply(encode_entry(Entry(1, MAX_TICK, (command,))))
        self._meter.forget()

    def take(self, request: bytes) -> None:
        """One message with orders, from its bytes to the answer's."""
        timed, index = self._meter.timed, self._machine.applied_index + 1
        message = timed(CHECK, ExecuteMessage, request, 0.0)
        entry = timed(ENCODE, encode_entry, Entry(1 << 62, MAX_TICK, tuple(message.commands)))
        self._replicate(entry, index)
        applied = self._apply(entry)
        timed(BUILD, message.response, Answers(index, applied.answers))

    def _replicate(self, entry: bytes, index: int) -> None:
        timed = self._meter.timed
        append = {
            "type": "append",
            "term": TERM,
            "prev_index": index - 1,
            "prev_term": TERM,
            "entries": [(entry, index, TERM)],
            "commit_index": index - 1,
            "log_start": 0,
        }
        timed(RECEIVE, self._receive, timed(SEND, encode_frame, append))
        answer = {
            "type": "append_response",
            "term": TERM,
            "prev_index": index - 1,
            "success": True,
            "last": index,
            "instance": self._journal.instance,
            "admitted": 1,
        }
        timed(ACKNOWLEDGED, self._receive, timed(ACKNOWLEDGE, encode_frame, answer))

    def _receive(self, frame: bytes) -> None:
        for value in self._frames.feed(frame):
            check_message(value)

    def _apply(self, entry: bytes) -> Applied:
        timed, machine, index = self._meter.timed, self._machine, self._machine.applied_index + 1
        timed(JOURNAL, self._log, entry, index)
        applied = timed(APPLY, machine.apply, index, TERM, entry)
        timed(DECODE, decode_entry, entry)
        timed(CHAIN, lambda: chain_hash(machine.chain, index, TERM, entry, encode_answers(applied.answers)))
        if index % SHARED_COMMIT == 0:
            timed(COMMIT, machine.commit, shared=SHARED_COMMIT)
        return applied

    def _log(self, entry: bytes, index: int) -> None:
        self._journal.add(entry, index, TERM)
        self._journal.sync()


def every_other_unit_lost() -> list[Command]:
    """What leaves the first units of the sku in pieces of one."""
    lost = [UnitRange(2 * number, 2 * number) for number in range(1, PIECES + 1)]
    return [
        AdjustStock(f"lost-{start}", HOT, 0, tuple(lost[start : start + MAX_RANGES]), "")
        for start in range(0, PIECES, MAX_RANGES)
    ]


def request_of(orders: int) -> bytes:
    """A message as the client library sends it."""
    request = pb.ExecuteRequest(sequence=1)
    for _ in range(orders):
        command = request.commands.add()
        command.place_order.reservation_id = str(uuid.uuid4())
        command.place_order.lines.add(sku=HOT, quantity=1)
        command.timeout.FromMicroseconds(9_900_000)
    return request.SerializeToString()


def measure(orders: int, batches: int, *, pieces: bool) -> list[Line]:
    """A line per stage: microseconds per batch, on the leader and on a follower."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        meter = Meter()
        node = Node(Path(folder), stack, meter, pieces=pieces)
        for number in range(WARM_UP + batches):
            if number == WARM_UP:
                meter.forget()
            node.take(request_of(orders))
        return [line for stage in STAGES for line in lines_of(stage, meter)]


def lines_of(stage: Stage, meter: Meter) -> list[Line]:
    """Its CPU, and what it waits for the disk."""
    lines = [line_of(stage, stage.name, meter.cpu_us(stage.name))]
    if stage.waits:
        lines.append(line_of(stage, f"{stage.name}: waiting for the disk", meter.waited_us(stage.name)))
    return lines


def line_of(stage: Stage, name: str, us: float) -> Line:
    """One line; microseconds per batch."""
    leader, follower = round(us * stage.leader, 2), round(us * stage.follower, 2)
    return Line(name, leader, follower, stage.is_part)


def total(lines: list[Line], role: str) -> float:
    """Microseconds per batch of all stages."""
    return sum(line.us(role) for line in lines if not line.is_part)


def table(found: dict[int, list[Line]]) -> Table:
    """Stages down, sizes across; of a batch of many orders also what one of them takes."""
    shown = Table(title="microseconds; three nodes, the leader serves the call", title_justify="left")
    shown.add_column("stage", no_wrap=True)
    columns = [(orders, share, role) for orders in found for share in sorted({1, orders}) for role in ROLES]
    for orders, share, role in columns:
        of = "1 order alone" if orders == 1 else f"batch of {orders}" if share == 1 else f"1 order of {orders}"
        shown.add_column(f"{of}\n{role.removesuffix('_us')}", justify="right")
    for rows in zip(*found.values(), strict=True):
        by_size = dict(zip(found, rows, strict=True))
        cells = [by_size[orders].us(role) / share for orders, share, role in columns]
        shown.add_row(rows[0].stage, *(f"{cell:,.1f}" if cell else "-" for cell in cells))
    shown.add_section()
    shown.add_row("all", *[f"{total(found[orders], role) / share:,.1f}" for orders, share, role in columns])
    return shown


def main() -> None:
    """Print the table, or JSON; either way it is also in build/bench/costs.json."""
    parser = argparse.ArgumentParser(prog="make bench-costs", description="Microseconds per stage of an order.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pieces", action="store_true", help="no two units that are available are neighbours")
    options = parser.parse_args()
    found = {orders: measure(orders, batches, pieces=options.pieces) for orders, batches in ORDERS.items()}
    listed = [
        {"orders_in_a_batch": orders, "stages": [line._asdict() for line in lines]} for orders, lines in found.items()
    ]
    text = json.dumps(listed, indent=2)
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    LATEST.write_text(text + "\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(text + "\n")
        return
    console = Console()
    console.width = max(console.width, 130)
    console.print(table(found))


if __name__ == "__main__":
    main()
