"""Reserve and PlaceOrder: all lines or nothing, lowest-numbered units first.

Checked in this order: a known id answers again; TOO_LATE; UNKNOWN_SKU; OUT_OF_STOCK, for which due holds of the
order's own skus are expired first. The last two are remembered: a late retry cannot succeed where the first one
was refused.
"""

from typing import Final

from lastunit_node.statemachine import expiry
from lastunit_node.statemachine.canonical import encode_answer, place_order_request, reserve_request
from lastunit_node.statemachine.commands import Line, PlaceOrder, Reserve, UnitLine
from lastunit_node.statemachine.ranges import sum_lines
from lastunit_node.statemachine.remembered import first_answer
from lastunit_node.statemachine.reservations import HELD, REFUSED, encode_units, present
from lastunit_node.statemachine.results import Outcome, ReservationState, Result
from lastunit_node.statemachine.state import Position, State
from lastunit_node.statemachine.stock import Place
from lastunit_node.statemachine.tables import ReservationRow

# Looked up once: an enum's attribute costs three times a global, and these are needed for every order.
_CONFIRMED: Final = int(ReservationState.CONFIRMED)
_ORDER_PLACED: Final = Outcome.ORDER_PLACED
_SOLD: Final = Place.SOLD


def reserve(state: State, at: Position, command: Reserve) -> Result:
    """Hold units for at least hold_ticks full ticks."""
    lines = sum_lines(command.lines)
    request = reserve_request(lines, command.hold_ticks)
    return _answered_without_units(state, at, command.reservation_id, lines, request) or _hold(
        state, at, command, lines, request
    )


def place_order(state: State, at: Position, command: PlaceOrder) -> Result:
    """Sell units at once."""
    lines = sum_lines(command.lines)
    request = place_order_request(lines)
    return _answered_without_units(state, at, command.reservation_id, lines, request) or _sell(
        state, at, command, lines, request
    )


def _answered_without_units(
    state: State, at: Position, reservation_id: str, lines: tuple[Line, ...], request: bytes
) -> Result | None:
    """The answer of a known id, TOO_LATE, or a refusal, which is remembered; None for an order that is to be served."""
    row = state.reservations.find(reservation_id)
    if row is not None:
        return _answer_again(state, at, row, request)
    if state.is_late(at):
        return at.answer(Outcome.TOO_LATE)
    refusal = _refusal(state, at, lines)
    return None if refusal is None else _remember(state, reservation_id, request, refusal)


def _answer_again(state: State, at: Position, row: ReservationRow, request: bytes) -> Result:
    """The answer of a known id."""
    reservation = present(row, state.clock)
    if row.request is None:  # released before it was ever used
        return at.answer(Outcome.ALREADY_RELEASED, reservation)
    if row.request != request:
        return at.answer(Outcome.ID_REUSED, reservation)
    return first_answer(row)._replace(reservation=reservation)


def _refusal(state: State, at: Position, lines: tuple[Line, ...]) -> Result | None:
    """Why an order cannot be served; None when it can."""
    short: list[Line] = []
    for line in lines:
        shelf = state.stock.find(line.sku)
        if shelf is None:
            return at.answer(Outcome.UNKNOWN_SKU)
        if shelf.available < line.quantity:
            short.append(line)
    shortages = [shortage for line in short if (shortage := expiry.shortage(state, line))]
    if shortages:
        return Result(Outcome.OUT_OF_STOCK, at.token.index, shortages=tuple(shortages))
    return None


def _remember(state: State, reservation_id: str, request: bytes, refusal: Result) -> Result:
    """Keep a refusal under its id."""
    state.reservations.add(
        ReservationRow(
            reservation_id=reservation_id,
            state=REFUSED,
            token_term=None,
            token_index=None,
            token_position=None,
            created_at_tick=state.clock,
            expires_at_tick=0,
            units="[]",
            request=request,
            answer=encode_answer(refusal),
            forget_at_tick=state.end_of_retention(),
        )
    )
    return refusal


def _hold(state: State, at: Position, command: Reserve, lines: tuple[Line, ...], request: bytes) -> Result:
    hold_ticks = command.hold_ticks or state.parameters.hold_ticks
    expires_at_tick = state.clock + min(hold_ticks, state.parameters.hold_cap_ticks) + 1
    units = _take(state, lines, Place.HELD)
    row = ReservationRow(
        command.reservation_id,
        HELD,
        *at.token,
        state.clock,
        expires_at_tick,
        encode_units(units),
        request,
        None,  # says no more than the row
    )
    state.reservations.add_hold(row, units)
    return Result(Outcome.RESERVED, at.token.index, at.token, expires_at_tick, units)


def _sell(state: State, at: Position, command: PlaceOrder, lines: tuple[Line, ...], request: bytes) -> Result:
    units = _take(state, lines, _SOLD)
    row = ReservationRow(
        command.reservation_id,
        _CONFIRMED,
        *at.token,
        state.clock,
        0,
        encode_units(units),
        request,
        None,  # says no more than the row
    )
    state.reservations.add(row)
    return Result(_ORDER_PLACED, at.token.index, at.token, 0, units)


def _take(state: State, lines: tuple[Line, ...], to: Place) -> tuple[UnitLine, ...]:
    """The lowest-numbered units of every line."""
    stock = state.stock
    return tuple([UnitLine(sku, stock.take(stock.known(sku), quantity, to)) for sku, quantity in lines])
