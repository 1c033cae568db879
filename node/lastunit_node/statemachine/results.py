"""What a command answers: one Result per command, the same on every node and every replay."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from lastunit_node.statemachine.commands import FencingToken, Line, UnitLine, UnitRange


class Outcome(IntEnum):
    """The answer in one word. Numbers are those of lastunit.v1.Outcome; they are in the log's hash, so never reused."""

    # Accepted.
    ORDER_PLACED = 1
    RESERVED = 2
    CONFIRMED = 3
    RELEASED = 4
    EXTENDED = 5
    RECEIVED = 6
    ADJUSTED = 7
    RETURNED = 8
    TICKED = 9
    CONFIGURED = 10
    ADMITTED = 11
    # Refused: a definite no.
    OUT_OF_STOCK = 20
    UNKNOWN_SKU = 21
    UNKNOWN_RESERVATION = 22
    ID_REUSED = 23
    STALE_TOKEN = 24
    ALREADY_CONFIRMED = 25
    ALREADY_RELEASED = 26
    EXPIRED = 27
    TOO_LATE = 28
    EXCEEDS_HOLD = 29
    UNITS_NOT_AVAILABLE = 30
    UNITS_NOT_SOLD = 31
    NOT_CONFIRMED = 32
    CLOCK_MISMATCH = 33
    ALREADY_CONFIGURED = 34
    NOT_CONFIGURED = 35
    MALFORMED = 36
    ADMITTED_BEFORE = 37
    POSTPONED = 38  # not applied: the entry has gone through as much as one may
    TOO_FRAGMENTED = 39


class ReservationState(IntEnum):
    """Life of a reservation: HELD -> CONFIRMED / RELEASED / EXPIRED. Numbers are those of lastunit.v1."""

    HELD = 1
    CONFIRMED = 2
    RELEASED = 3
    EXPIRED = 4


class Reservation(NamedTuple):
    """A reservation as it stands now. token is None for an id that was released before it was ever reserved."""

    reservation_id: str
    state: ReservationState
    token: FencingToken | None
    created_at_tick: int
    expires_at_tick: int  # 0 for one that was never held
    lines: tuple[Line, ...]  # as ordered, summed, sorted by sku
    units: tuple[UnitLine, ...]  # held or sold now, sorted by sku; empty when released, expired or all returned


class Shortage(NamedTuple):
    """Why an order was refused: the sku had fewer units available than asked."""

    sku: str
    requested: int
    available: int


class Result(NamedTuple):
    """The answer to one command.

    index is the log index of the entry that created this answer (of the first one, when replayed). token,
    expires_at_tick and units are those of that moment; `reservation` is the present state beside it, and left out of
    the first RESERVED, CONFIRMED and ORDER_PLACED, which say it all.
    """

    outcome: Outcome
    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody misses
    token: FencingToken | None = None
    expires_at_tick: int = 0
    units: tuple[UnitLine, ...] = ()  # held, sold, received, removed or returned by this command
    shortages: tuple[Shortage, ...] = ()
    replayed: bool = False
    reservation: Reservation | None = None


NO_TOKEN: Final = -1


class Position:
    """Where in the log a command stands, and until which tick it may act."""

    __slots__ = ("index", "position", "term", "valid_until_tick")

    def __init__(self, term: int, index: int, position: int, valid_until_tick: int) -> None:
        self.term = term
        self.index = index
        self.position = position
        self.valid_until_tick = valid_until_tick

    @property
    def token(self) -> FencingToken:
        """The token of a hold, if the command creates one."""
        return FencingToken(self.term, self.index, self.position)

    def answer(self, outcome: Outcome, reservation: Reservation | None = None) -> Result:
        """A result of this entry that is no more than a word."""
        return Result(outcome, self.index, reservation=reservation)


class Served:
    """The first answer to an order of one line that one range serves, or to its Confirm, as apply keeps it.

    Most answers are of this kind, and most nodes have nobody who waits for them: result() makes the Result where
    somebody does. expires_at_tick: NO_TOKEN for an answer without token and expiry.
    """

    __slots__ = ("at", "expires_at_tick", "first", "last", "outcome", "sku")

    def __init__(self, at: Position, outcome: Outcome, expires_at_tick: int, sku: str, first: int, last: int) -> None:
        self.at = at
        self.outcome = outcome
        self.expires_at_tick = expires_at_tick
        self.sku = sku
        self.first = first
        self.last = last

    def result(self) -> Result:
        """The same as a Result."""
        units = (UnitLine(self.sku, (UnitRange(self.first, self.last),)),)
        if self.expires_at_tick == NO_TOKEN:
            return Result(self.outcome, self.at.index, units=units)
        return Result(self.outcome, self.at.index, self.at.token, self.expires_at_tick, units)


Answer = Result | Served


class Applied:
    """What applying one entry gave: its nonce (0 for a no-op or undecodable bytes) and an answer per command."""

    __slots__ = ("_results", "answers", "index", "nonce", "term")

    def __init__(self, index: int, term: int, nonce: int, answers: Sequence[Answer]) -> None:
        self.index = index
        self.term = term
        self.nonce = nonce
        self.answers = answers
        self._results: tuple[Result, ...] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Applied) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"Applied{self._fields()!r}"

    def _fields(self) -> tuple[int, int, int, tuple[Result, ...]]:
        return self.index, self.term, self.nonce, self.results

    @property
    def results(self) -> tuple[Result, ...]:
        """A result per command, made when it is asked for."""
        if self._results is None:
            self._results = tuple([each.result() if isinstance(each, Served) else each for each in self.answers])
        return self._results


class StateHash(NamedTuple):
    """Both hashes at one applied index. Equal indexes must mean equal hashes on every node."""

    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody misses
    chain: bytes  # 16 bytes: H(previous chain, index, term, entry bytes, results)
    digest: bytes  # 16 bytes: sum of row hashes of the logical rows, mod 2**128


class Scan(NamedTuple):
    """All logical rows of one snapshot, held against the hashes that were kept with them."""

    kept: StateHash  # at the applied index of the snapshot
    digest: bytes  # of the rows that really stand
    rows: int

    @property
    def agrees(self) -> bool:
        """Whether the rows are those that apply left; else they were changed behind its back."""
        return self.digest == self.kept.digest


class StockLevel(NamedTuple):
    """received = available + held + sold + removed, each >= 0."""

    sku: str
    received: int
    available: int
    held: int
    sold: int
    removed: int


class Parameters(NamedTuple):
    """The replicated parameters, as set by Configure."""

    tick_ms: int
    hold_ticks: int
    hold_cap_ticks: int
    retention_ticks: int
    sweep_size: int
