"""The history of a run: what clients asked, what they were told, and when. JSON lines, one record a line.

The format, so that other checkers (porcupine, Knossos, a script of yours) can judge a run too. Every record has a
`kind`; fields that have their default are left out. Times are seconds since the run began, of one monotonic clock for
all clients. Indexes are indexes of the replicated log; a token is [term, index, position] of a command in it; units of
a sku are ranges [first, last], both included.

run     the first line: the seed, the nodes, and the replicated parameters that decide (tick_ms, hold_ticks,
        hold_cap_ticks).
call    one call of one client: `client`, the `node` it prefers, `command`, `arguments`, `called_at`, `returned_at`
        (absent: it never ended), and what came of it (`came_to`):
          answered     `answer` has it; a refusal is an answer
          not_found    a read that found nothing
          not_applied  an error that says: certainly not applied
          unknown      an error that says: may have been applied, at any time after `called_at`
        Commands: reserve, place, confirm, release, extend, receive, adjust, return. Reads: get_stock and
        get_reservation, linearizable unless `stale`.
        `answer.index` is the log index whose entry created the answer, for a read the index of the snapshot that was
        read; `answer.applied_index` is what the node had applied when it answered. When `replayed`, the id had been
        answered before: everything but `reservation` is that first answer again.
fault   what the nemesis did meanwhile: `name`, `nodes`, `began_at`, `ended_at`. A checker needs it not.
state   what nodes had in the end, when no fault was left and no hold was open: all reservations, all stock levels, one
        record for every group of nodes that had the same; and each node's hash at one and the same index.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, TextIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

FORMAT = 1

Units = dict[str, tuple[tuple[int, int], ...]]
Command = Literal[
    "reserve", "place", "confirm", "release", "extend", "receive", "adjust", "return", "get_stock", "get_reservation"
]
CameTo = Literal["answered", "not_found", "not_applied", "unknown"]
READS: frozenset[Command] = frozenset(("get_stock", "get_reservation"))


class Token(NamedTuple):
    """Where in the log a hold was created."""

    term: int
    log_index: int
    position: int


class Record(BaseModel):
    """Immutable, and strict about names: a field that nobody knows is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Run(Record):
    """The first line."""

    kind: Literal["run"] = "run"
    format: int = FORMAT
    seed: int
    nodes: tuple[str, ...]
    tick_ms: int
    hold_ticks: int
    hold_cap_ticks: int


class Arguments(Record):
    """What a call was given; only the fields of its command are used."""

    id: str = ""  # of the reservation, receipt, adjustment or return
    lines: dict[str, int] = {}
    hold_ticks: int = 0
    token: Token | None = None
    until_tick: int = 0
    sku: str = ""
    quantity: int = 0
    reason: str = ""
    reservation_id: str = ""  # of a return
    units: Units = {}
    stale: bool = False
    min_index: int = 0


class Reservation(Record):
    """A reservation as a node showed it."""

    id: str
    state: Literal["HELD", "CONFIRMED", "RELEASED", "EXPIRED"]
    token: Token | None = None
    created_at_tick: int = 0
    expires_at_tick: int = 0
    lines: dict[str, int] = {}
    units: Units = {}


class Level(Record):
    """A stock level as a node showed it."""

    sku: str
    received: int = 0
    available: int = 0
    held: int = 0
    sold: int = 0
    removed: int = 0


class Answer(Record):
    """What a call was told."""

    index: int
    applied_index: int
    outcome: str = ""  # of a command
    replayed: bool = False
    token: Token | None = None
    expires_at_tick: int = 0
    units: Units = {}
    shortages: tuple[tuple[str, int, int], ...] = ()  # sku, requested, available
    reservation: Reservation | None = None
    level: Level | None = None

    def first_answer(self) -> "Answer":
        """What a replay has to repeat."""
        return self.model_copy(update={"applied_index": 0, "replayed": False, "reservation": None})


class Call(Record):
    """One call of one client."""

    kind: Literal["call"] = "call"
    client: str
    node: str = ""
    command: Command
    arguments: Arguments
    called_at: float
    returned_at: float | None = None
    came_to: CameTo = "unknown"
    answer: Answer | None = None
    error: str = ""

    @property
    def is_read(self) -> bool:
        """Whether it asked only."""
        return self.command in READS

    def __str__(self) -> str:
        told = f"{self.answer.outcome} at index {self.answer.index}" if self.answer else self.came_to
        return f"{self.client}'s {self.command} of {self.arguments.id or self.arguments.sku} ({told})"


class FaultRecord(Record):
    """What the nemesis did."""

    kind: Literal["fault"] = "fault"
    name: str
    nodes: tuple[str, ...] = ()
    began_at: float
    ended_at: float
    term: int = 0  # of the leader that was hit
    detail: str = ""


class State(Record):
    """What some nodes had in the end, all of them the same."""

    kind: Literal["state"] = "state"
    hashes: dict[str, str]  # of every one of these nodes: "index chain digest"
    reservations: tuple[Reservation, ...]
    stock: tuple[Level, ...]


AnyRecord = Annotated[Run | Call | FaultRecord | State, Field(discriminator="kind")]
_READER: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)


class UnreadableHistory(Exception):
    """A line that is no record, or a history that lacks its first line."""


@dataclass
class History:
    """A whole run, sorted by record kind; calls in the order in which they were written."""

    run: Run
    calls: list[Call] = field(default_factory=list)
    faults: list[FaultRecord] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    @classmethod
    def of(cls, records: Iterable[AnyRecord]) -> Self:
        """Sort records into a history. UnreadableHistory when the first is no `run`."""
        rest = iter(records)
        first = next(rest, None)
        if not isinstance(first, Run) or first.format != FORMAT:
            raise UnreadableHistory(f"the first line is not a run of format {FORMAT}")
        history = cls(first)
        for record in rest:
            history.add(record)
        return history

    def add(self, record: AnyRecord) -> None:
        """Put one more record where it belongs."""
        match record:
            case Call():
                self.calls.append(record)
            case FaultRecord():
                self.faults.append(record)
            case State():
                self.states.append(record)
            case Run():
                raise UnreadableHistory("a second run")


def read_history(path: Path) -> History:
    """Read a history.jsonl. UnreadableHistory names the line."""
    with path.open(encoding="utf-8") as lines:
        return History.of(_records(lines))


def _records(lines: Iterable[str]) -> Iterator[AnyRecord]:
    for number, line in enumerate(lines, start=1):
        try:
            yield _READER.validate_json(line)
        except ValidationError as error:
            raise UnreadableHistory(f"line {number}: {error}") from None


class HistoryWriter:
    """Keeps a history, and writes each record to a file as it comes, so that a run cut short leaves what it saw."""

    def __init__(self, run: Run, file: TextIO | None = None) -> None:
        self.history = History(run)
        self._file = file
        self._write(run)

    def add(self, record: AnyRecord) -> None:
        """One more record."""
        self.history.add(record)
        self._write(record)

    def _write(self, record: AnyRecord) -> None:
        if self._file is not None:
            self._file.write(to_line(record))


def to_line(record: AnyRecord) -> str:
    """A record as a line."""
    return record.model_dump_json(exclude_defaults=True)[:-1].replace("{", '{"kind":"' + record.kind + '",', 1) + "}\n"
