"""What goes into a call and what comes out of it: immutable values that mirror lastunit.v1, without protobuf.

Units: quantities are whole units; units are numbered from 1 per sku; times are ticks of the cluster's logical clock;
indexes are Raft log indexes. Nothing in here does I/O or knows the wire format (commands.py and answers.py do).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from lastunit_client.fencing import FencingToken
from lastunit_client.read_later import ReadLater


class Outcome(Enum):
    """The answer to a command in one word. Numbers are those of lastunit.v1.Outcome."""

    # Accepted.
    ORDER_PLACED = 1
    RESERVED = 2
    CONFIRMED = 3
    RELEASED = 4
    EXTENDED = 5
    RECEIVED = 6
    ADJUSTED = 7
    RETURNED = 8
    # Refused: a definite no, which is an answer and not an error.
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
    TOO_FRAGMENTED = 39

    @property
    def accepted(self) -> bool:
        """Whether the command did what it was asked."""
        return self.value < Outcome.OUT_OF_STOCK.value


class ReservationState(Enum):
    """Life of a reservation: HELD, then one of the others, for good."""

    HELD = 1
    CONFIRMED = 2
    RELEASED = 3
    EXPIRED = 4


class Role(Enum):
    """Raft role of a node."""

    FOLLOWER = 1
    CANDIDATE = 2
    LEADER = 3


@dataclass(frozen=True, slots=True)
class Line:
    """So many units of one sku: `sku` 1-64 characters of A-Z a-z 0-9 . _ : -, `quantity` 1 to 1,000,000."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class UnitRange:
    """Units first..last of one sku, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class UnitLine:
    """Named units of one sku: disjoint ranges in ascending order."""

    sku: str
    ranges: tuple[UnitRange, ...]

    @property
    def quantity(self) -> int:
        """How many units the ranges name."""
        return sum(map(len, self.ranges))

    def numbers(self) -> Iterable[int]:
        """Every unit number, ascending."""
        return (number for units in self.ranges for number in range(units.first, units.last + 1))


Lines: TypeAlias = Mapping[str, int] | Iterable[Line | tuple[str, int]]
"""Lines as callers write them: {"VASE": 2}, [("VASE", 2)] or [Line("VASE", 2)]."""

Ranges: TypeAlias = Iterable[UnitRange | tuple[int, int]]
"""Unit ranges as callers write them: [(1, 3)] or [UnitRange(1, 3)], both ends included."""

Units: TypeAlias = Mapping[str, Ranges] | Iterable[UnitLine]
"""Named units as callers write them: {"VASE": [(1, 3)]}, or the `units` of an earlier result."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why an order was refused: the sku had fewer units available than asked for."""

    sku: str
    requested: int
    available: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as it stands at `applied_index`."""

    reservation_id: str
    state: ReservationState
    token: FencingToken | None  # None for an id that was released before it was reserved
    created_at_tick: int
    expires_at_tick: int  # 0 for one that was never held
    lines: tuple[Line, ...]  # as ordered, summed, by sku
    units: tuple[UnitLine, ...]  # held by or sold to it now
    applied_index: int = field(compare=False)  # log index of the snapshot it was read in


@dataclass(frozen=True, slots=True)
class CommandResult(ReadLater):
    """The answer to one command: what `outcome` says, and for refusals why.

    When `replayed`, the id was answered before: all but `applied_index` and `reservation` is the first answer again.
    """

    request_id: str  # the caller's reservation_id, receipt_id, adjustment_id or return_id; made here when not given
    outcome: Outcome
    replayed: bool
    result_index: int  # log index of the entry that created the answer
    applied_index: int  # what the node had applied when it answered: pass it as min_index to read your own writes
    token: FencingToken | None  # of RESERVED and ORDER_PLACED
    expires_at_tick: int  # of RESERVED and EXTENDED, else 0
    units: tuple[UnitLine, ...]  # held, sold, received, removed or returned by this command
    shortages: tuple[Shortage, ...]  # of OUT_OF_STOCK: every sku that fell short
    reservation: Reservation | None  # as it stands now, where there is one; None on a first accepted reserve, confirm
    # or place_order, which says it all

    @property
    def accepted(self) -> bool:
        """Whether the command did what it was asked; False is a refusal.

        Final for this id where inventory.proto calls it remembered. A hold that is refused STALE_TOKEN still stands.
        """
        return self.outcome.accepted


@dataclass(frozen=True, slots=True)
class StockLevel:
    """A stock level at `applied_index`: received = available + held + sold + removed."""

    sku: str
    received: int
    available: int
    held: int
    sold: int
    removed: int
    applied_index: int = field(compare=False)  # log index of the snapshot it was read in


@dataclass(frozen=True, slots=True)
class StateHash:
    """Both hashes of a node's state at one applied index. Equal indexes mean equal hashes on every node."""

    index: int
    chain: bytes  # over every applied entry and its results
    digest: bytes  # of the logical rows


@dataclass(frozen=True, slots=True)
class Parameters:
    """The replicated parameters, set when the cluster was born."""

    tick_ms: int
    hold_ticks: int
    hold_cap_ticks: int
    retention_ticks: int
    sweep_size: int


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """How one node stands, and how it sees the cluster. Indexes are log indexes; clock in ticks."""

    cluster: str
    node: str
    role: Role
    leader: str | None  # node name; None when it knows none
    term: int
    last_index: int
    commit_index: int
    applied_index: int
    clock: int
    has_quorum: bool
    is_admitted: bool
    state_hash: StateHash
    parameters: Parameters | None  # None until the cluster's first entry is applied
    version: str
