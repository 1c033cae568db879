"""What is known after a sale, from both sides: what each buyer believes, and what each node has on record.

Plain values, so that the verdict can be tested without a cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lastunit_client import FencingToken, Outcome, Reservation, ReservationState, StateHash, StockLevel


class Ending(StrEnum):
    """How the sale ended for one buyer."""

    PLACED = "placed"  # owns a vase
    REFUSED = "refused"  # went home: sold out, and no hold open that could have come back
    PAYMENT_FAILED = "payment failed"  # had a vase on hold, could not pay, gave it back
    FAILED = "failed"  # a call ended without an answer, or with one that makes no sense


@dataclass(frozen=True, slots=True)
class BuyerReport:
    """What one buyer believes. Order, unit and token are those of its last hold; None when it never had one."""

    buyer: str
    home: str  # node it called first
    ending: Ending
    order: str | None = None  # reservation id
    unit: int | None = None
    token: FencingToken | None = None
    refusals: int = 0  # calls answered OUT_OF_STOCK
    expired: int = 0  # holds lost to the clock before they were confirmed
    error: str | None = None  # the call without an answer, or the answer without sense


@dataclass(frozen=True, slots=True)
class NodeRecords:
    """Everything one node has on record."""

    node: str
    reservations: tuple[Reservation, ...]  # by id
    stock: Mapping[str, StockLevel]  # by sku
    state_hash: StateHash

    def sold(self, sku: str) -> list[Reservation]:
        """The confirmed reservations of a sku, by id."""
        return [order for order in self.of(sku) if order.state is ReservationState.CONFIRMED]

    def of(self, sku: str) -> list[Reservation]:
        """All reservations that ever asked for a sku, by id."""
        return [order for order in self.reservations if any(line.sku == sku for line in order.lines)]


@dataclass(frozen=True, slots=True)
class LeaderKill:
    """One kill -9 of a leader, and who led next."""

    node: str
    pid: int
    term: int
    sold: int  # vases sold at that moment
    next_leader: str
    next_term: int
    seconds: float  # from the kill until the next leader had a quorum


@dataclass(frozen=True, slots=True)
class ZombieReport:
    """Act four: what became of the buyer that slept past its hold."""

    order: str
    unit: int
    token: FencingToken
    expires_at_tick: int
    clock: int  # when it woke up
    sold_to: str  # reservation that owns the unit now
    sold_token: FencingToken
    outcome: Outcome  # the state machine's answer to the zombie's confirm
    warehouse_refused: bool  # a warehouse that compares tokens turned it away, too


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict is given about acts two to four."""

    buyers: tuple[BuyerReport, ...]
    nodes: tuple[NodeRecords, ...]
    kills: tuple[LeaderKill, ...]
    terms: tuple[int, ...]  # in which a leader was seen, in order
    zombie: ZombieReport


def unit_numbers(reservation: Reservation) -> tuple[int, ...]:
    """The units it holds or owns now, ascending."""
    return tuple(number for line in reservation.units for number in line.numbers())
