"""The commands that may stand in a log entry, and the entry itself: immutable values, no behaviour.

Every command is a flat tuple of integers, strings and tuples, so that its canonical encoding (codec.py) is its
fields in order. Quantities are whole units, units are numbered from 1 per sku, times are ticks of the logical clock.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lastunit_node.statemachine.brief import Brief


class FencingToken(NamedTuple):
    """Log position of the command that created a hold; strictly increasing in log order, never used twice."""

    term: int
    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody misses
    position: int


class Line(NamedTuple):
    """So many units of one sku."""

    sku: str
    quantity: int


class UnitRange(NamedTuple):
    """Units first..last of one sku, both included."""

    first: int
    last: int


class UnitLine(NamedTuple):
    """Named units of one sku: disjoint ranges in ascending order, neighbours joined."""

    sku: str
    ranges: tuple[UnitRange, ...]


class Reserve(NamedTuple):
    """Hold units for later confirmation. hold_ticks 0 takes the cluster's default; more than the cap is cut to it."""

    reservation_id: str
    lines: tuple[Line, ...]
    hold_ticks: int


class PlaceOrder(NamedTuple):
    """Reserve and confirm in one step."""

    reservation_id: str
    lines: tuple[Line, ...]


class Confirm(NamedTuple):
    """Sell what is held. No lines: all of it; else so many per sku, lowest numbers kept, everything else freed."""

    reservation_id: str
    token: FencingToken
    lines: tuple[Line, ...]


class Release(NamedTuple):
    """Free what is held. The token is None only where the caller never learnt it (an id it gave up on)."""

    reservation_id: str
    token: FencingToken | None


class ExtendHold(NamedTuple):
    """Move the expiry: expires = max(expires, min(until_tick, created + cap))."""

    reservation_id: str
    token: FencingToken
    until_tick: int


class ReceiveStock(NamedTuple):
    """New units arrive: each line adds the next numbers of its sku to available."""

    receipt_id: str
    lines: tuple[Line, ...]


class AdjustStock(NamedTuple):
    """Remove damaged or lost units from available: either a quantity (lowest numbers) or named ranges, never both."""

    adjustment_id: str
    sku: str
    quantity: int
    ranges: tuple[UnitRange, ...]
    reason: str


class ReturnUnits(NamedTuple):
    """Named units of a confirmed reservation go back to available."""

    return_id: str
    reservation_id: str
    lines: tuple[UnitLine, ...]


class Tick(NamedTuple):
    """Advance the logical clock by one, if it is still at `clock`."""

    clock: int


class Configure(NamedTuple):
    """The parameters that decide, set once when the cluster is born: ticks and ms; sweep_size in holds a step."""

    tick_ms: int
    hold_ticks: int
    hold_cap_ticks: int
    retention_ticks: int
    sweep_size: int


class Admit(NamedTuple):
    """From now on this disk is the node's. replaces: log index at which the present one was admitted, 0 for none."""

    node: str
    instance: str
    replaces: int


Command = (
    Reserve
    | PlaceOrder
    | Confirm
    | Release
    | ExtendHold
    | ReceiveStock
    | AdjustStock
    | ReturnUnits
    | Tick
    | Configure
    | Admit
)


class Entry(NamedTuple):
    """One log entry. No commands: a read barrier, or a leader's own, to sweep.

    nonce names one proposal (any 64-bit value; apply gives it back, so that a proposer knows the entry is its own).
    valid_until_tick is stamped at the first proposal and kept when the same commands are proposed again.
    """

    nonce: int
    valid_until_tick: int
    commands: tuple["Command | Brief", ...]
