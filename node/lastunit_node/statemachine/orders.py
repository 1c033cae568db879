"""Reserve and PlaceOrder: all lines or nothing, lowest-numbered units first.

Checked in this order: a known id answers again; TOO_LATE; UNKNOWN_SKU; OUT_OF_STOCK, for which due holds of the
order's own skus are expired first. The last two are remembered: a late retry cannot succeed where the first one
was refused.
"""

from typing import NamedTuple

from lastunit_node.statemachine import expiry
from lastunit_node.statemachine.canonical import decode_answer, encode_answer, place_order_request, reserve_request
from lastunit_node.statemachine.commands import Line, PlaceOrder, Reserve, UnitLine
from lastunit_node.statemachine.ranges import sum_lines
from lastunit_node.statemachine.reservations import REFUSED, encode_units, present
from lastunit_node.statemachine.results import Outcome, Reservation, ReservationState, Result
from lastunit_node.statemachine.state import Position, State
from lastunit_node.statemachine.stock import Place
from lastunit_node.statemachine.tables import ReservationRow


class _Order(NamedTuple):
    reservation_id: str
    lines: tuple[Line, ...]  # summed
    request: bytes


def reserve(state: State, at: Position, command: Reserve) -> Result:
    """Hold units for at least hold_ticks full ticks."""
    lines = sum_lines(command.lines)
    order = _Order(command.reservation_id, lines, reserve_request(lines, command.hold_ticks))
    return (
        _answered_before(state, at, order)
        or _refused(state, at, order)
        or _hold(state, at, order, command.hold_ticks or state.parameters.hold_ticks)
    )


def place_order(state: State, at: Position, command: PlaceOrder) -> Result:
    """Sell units at once."""
    lines = sum_lines(command.lines)
    order = _Order(command.reservation_id, lines, place_order_request(lines))
    return _answered_before(state, at, order) or _refused(state, at, order) or _sell(state, at, order)


def _answered_before(state: State, at: Position, order: _Order) -> Result | None:
    """The answer of a known id, or TOO_LATE."""
    row = state.reservations.find(order.reservation_id)
    if row is None:
        return at.answer(Outcome.TOO_LATE) if state.is_late(at) else None
    reservation = present(row, state.clock)
    if row.request is None:  # released before it was ever used
        return at.answer(Outcome.ALREADY_RELEASED, reservation)
    if row.answer is None or row.request != order.request:
        return at.answer(Outcome.ID_REUSED, reservation)
    return decode_answer(row.answer)._replace(reservation=reservation)


def _refused(state: State, at: Position, order: _Order) -> Result | None:
    """The refusal of an order that cannot be served, remembered under its id."""
    if None in [state.stock.find(line.sku) for line in order.lines]:
        return _remember_refusal(state, order, at.answer(Outcome.UNKNOWN_SKU))
    shortages = [shortage for line in order.lines if (shortage := expiry.shortage(state, line)) is not None]
    if shortages:
        return _remember_refusal(state, order, Result(Outcome.OUT_OF_STOCK, at.token.index, shortages=tuple(shortages)))
    return None


def _remember_refusal(state: State, order: _Order, refusal: Result) -> Result:
    state.reservations.add(
        ReservationRow(
            reservation_id=order.reservation_id,
            state=REFUSED,
            token_term=None,
            token_index=None,
            token_position=None,
            created_at_tick=state.clock,
            expires_at_tick=0,
            units="[]",
            request=order.request,
            answer=encode_answer(refusal),
            forget_at_tick=state.end_of_retention(),
        )
    )
    return refusal


def _hold(state: State, at: Position, order: _Order, hold_ticks: int) -> Result:
    units = _take(state, order, Place.HELD)
    expires_at_tick = state.clock + min(hold_ticks, state.parameters.hold_cap_ticks) + 1
    result = Result(Outcome.RESERVED, at.token.index, at.token, expires_at_tick, units)
    state.reservations.add_hold(_row(state, order, result, ReservationState.HELD), units)
    return _with_reservation(state, order, result, ReservationState.HELD)


def _sell(state: State, at: Position, order: _Order) -> Result:
    units = _take(state, order, Place.SOLD)
    result = Result(Outcome.ORDER_PLACED, at.token.index, at.token, 0, units)
    state.reservations.add(_row(state, order, result, ReservationState.CONFIRMED))
    return _with_reservation(state, order, result, ReservationState.CONFIRMED)


def _take(state: State, order: _Order, to: Place) -> tuple[UnitLine, ...]:
    stock = state.stock
    return tuple([UnitLine(sku, stock.take(stock.known(sku), quantity, to)) for sku, quantity in order.lines])


def _row(state: State, order: _Order, result: Result, reservation_state: ReservationState) -> ReservationRow:
    assert result.token is not None
    return ReservationRow(
        order.reservation_id,
        int(reservation_state),
        *result.token,
        state.clock,
        result.expires_at_tick,
        encode_units(result.units),
        order.request,
        encode_answer(result),
    )


def _with_reservation(state: State, order: _Order, result: Result, reservation_state: ReservationState) -> Result:
    """The result with the reservation that was made just now beside it; saves reading it back."""
    reservation = Reservation(
        order.reservation_id,
        reservation_state,
        result.token,
        state.clock,
        result.expires_at_tick,
        order.lines,
        result.units,
    )
    return Result(*result[:-1], reservation)
