"""Rows of the state machine as messages of lastunit.v1. Answers to commands do without messages (wire.py).

The numbers of outcomes and states are the same on both sides, so they pass as they are. Outcomes that only ever speak
inside a node (NOT_CONFIGURED, MALFORMED, ...) become errors, never an answer.

Messages are filled in place, field by field: a third of the time that nested constructors take (measured: 3.6 us
against 11.3 us for the answer to an order of one line, when it was such a message).
"""

from collections.abc import Iterable
from typing import Final, Protocol, cast

from lastunit.v1 import cluster_pb2
from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import internal, unavailable
from lastunit_node.statemachine.commands import FencingToken, UnitLine
from lastunit_node.statemachine.results import Outcome, Parameters, Reservation, StateHash, StockLevel

PUBLIC: Final = frozenset(Outcome(number) for number in pb.Outcome.values() if number)


def check_outcome(outcome: Outcome) -> None:
    """Raise CallError for an outcome that a caller never sees. All of these mean: nothing was applied."""
    if outcome in PUBLIC:
        return
    if outcome is Outcome.NOT_CONFIGURED:
        raise unavailable("NOT_CONFIGURED", "the cluster has no parameters yet")
    raise internal(f"the state machine answered {outcome.name}", definite=True)


class _UnitLines(Protocol):
    """A repeated UnitLine field of any message."""

    def add(self) -> pb.UnitLine: ...


def fill_reservation(message: pb.Reservation, reservation: Reservation) -> None:
    """A reservation as it stands."""
    message.reservation_id = reservation.reservation_id
    message.state = cast("pb.ReservationState.ValueType", reservation.state)
    message.created_at_tick = reservation.created_at_tick
    message.expires_at_tick = reservation.expires_at_tick
    if reservation.token:
        _fill_token(message.token, reservation.token)
    for ordered in reservation.lines:
        line = message.lines.add()
        line.sku, line.quantity = ordered
    _fill_units(message.units, reservation.units)


def fill_stock(message: pb.StockLevel, level: StockLevel) -> None:
    """A stock level."""
    message.sku, message.received, message.available, message.held, message.sold, message.removed = level


def fill_state_hash(message: cluster_pb2.StateHash, state_hash: StateHash) -> None:
    """Both hashes at one index."""
    message.index, message.chain, message.digest = state_hash


def fill_parameters(message: cluster_pb2.Parameters, parameters: Parameters) -> None:
    """The replicated parameters."""
    message.tick_ms = parameters.tick_ms
    message.hold_ticks = parameters.hold_ticks
    message.hold_cap_ticks = parameters.hold_cap_ticks
    message.retention_ticks = parameters.retention_ticks
    message.sweep_size = parameters.sweep_size


def _fill_token(message: pb.FencingToken, token: FencingToken) -> None:
    message.term, message.index, message.position = token


def _fill_units(lines: _UnitLines, units: Iterable[UnitLine]) -> None:
    for unit_line in units:
        line = lines.add()
        line.sku = unit_line.sku
        for span in unit_line.ranges:
            unit_range = line.ranges.add()
            unit_range.first, unit_range.last = span
