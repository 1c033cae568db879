"""Confirm, Release and ExtendHold: what becomes of a hold.

Checked in this order: the resolution that closed it answers again; TOO_LATE; UNKNOWN_RESERVATION; ALREADY_CONFIRMED,
ALREADY_RELEASED or EXPIRED; STALE_TOKEN; EXCEEDS_HOLD. None of these refusals is remembered: a hold that stands can
still be resolved by a right call. A Confirm that names every unit is the same call as one that names none.
"""

from typing import Final

from lastunit_node.statemachine import remembered
from lastunit_node.statemachine.brief import ConfirmAll
from lastunit_node.statemachine.canonical import confirm_request, ordered_lines, release_request
from lastunit_node.statemachine.commands import Confirm, ExtendHold, FencingToken, Line, Release, UnitLine
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.ranges import Ranges, count, split, sum_lines
from lastunit_node.statemachine.reservations import (
    HELD,
    NO_UNITS,
    REFUSED,
    closed_row,
    encode_units,
    has_token,
    is_held,
    present,
    units_of,
)
from lastunit_node.statemachine.results import NO_TOKEN, Answer, Outcome, Position, ReservationState, Result, Served
from lastunit_node.statemachine.state import State
from lastunit_node.statemachine.stock import Place
from lastunit_node.statemachine.tables import ReservationRow

_HELD: Final = int(Place.HELD)  # an enum's attribute costs three times a global
_SOLD: Final = int(Place.SOLD)
_SAYS_CONFIRMED: Final = Outcome.CONFIRMED
_CONFIRMED: Final = ReservationState.CONFIRMED
_STATE_CONFIRMED: Final = int(_CONFIRMED)
_CLOSED: Final = {
    ReservationState.CONFIRMED: Outcome.ALREADY_CONFIRMED,
    ReservationState.RELEASED: Outcome.ALREADY_RELEASED,
    ReservationState.EXPIRED: Outcome.EXPIRED,
}


def confirm(state: State, at: Position, command: Confirm) -> Answer:
    """Sell the units of a hold: all, or the lowest-numbered so many of each sku; the others are available again."""
    row = state.find(command.reservation_id)
    if row is None or row.state == REFUSED:
        return _unknown(state, at)
    refusal = _confirmed_before(state, row, command) or _refused(state, at, row, command.token)
    return _sell(state, at, row, command) if refusal is None else refusal


def confirm_all(state: State, at: Position, command: ConfirmAll) -> Answer:
    """A Confirm without lines: of a hold of one range done here when nothing is in its way, else as the command."""
    row = state.reservations.raw(command.reservation_id)
    held = None if row is None or state.is_late(at) else state.reservations.range_of(row)
    if row is None or held is None:
        return confirm(state, at, command.full())
    name, row_state, term, index, position, created, expires_at_tick, units, request, answer, *_ = row
    if row_state != HELD or expires_at_tick <= state.clock or not command.has_token(term, index, position):
        return confirm(state, at, command.full())
    state.go_through(units, answer)
    state.stock.move(state.stock.known(held.sku), held.last - held.first + 1, _HELD, _SOLD)
    sold = (
        name,
        _STATE_CONFIRMED,
        term,
        index,
        position,
        created,
        expires_at_tick,
        units,
        request,
        answer,
        None,
        at.index,
        None,
        None,
    )
    state.reservations.sell_range(row, sold)
    return Served(at, _SAYS_CONFIRMED, NO_TOKEN, held.sku, held.first, held.last)


def release(state: State, at: Position, command: Release) -> Result:
    """Free the units of a hold. An id without a reservation is closed for good: what was given up cannot come late."""
    row = state.find(command.reservation_id)
    request = release_request(command)
    if row is None or row.state == REFUSED:
        return _too_late(state, at, row) or _cancel(state, at, row, command.reservation_id, request)
    return (
        _answered_before(state, row, request)
        or _refused(state, at, row, command.token)
        or _free(state, at, row, request)
    )


def extend_hold(state: State, at: Position, command: ExtendHold) -> Result:
    """Move the expiry later, never earlier, and at most to the cap after the hold's creation. The token stays."""
    row = state.find(command.reservation_id)
    if row is None or row.state == REFUSED:
        return _unknown(state, at)
    return _refused(state, at, row, command.token) or _extend(state, at, row, command.until_tick)


def _unknown(state: State, at: Position) -> Result:
    return _too_late(state, at, None) or at.answer(Outcome.UNKNOWN_RESERVATION)


def _too_late(state: State, at: Position, row: ReservationRow | None) -> Result | None:
    return at.answer(Outcome.TOO_LATE, present(row, state.clock)) if state.is_late(at) else None


def _confirmed_before(state: State, row: ReservationRow, command: Confirm) -> Result | None:
    """The first answer of the Confirm that closed the reservation, if this is the same one."""
    if row.resolved_index is None:
        return None
    lines = sum_lines(command.lines) or ordered_lines(row.request)
    return _answered_before(state, row, confirm_request(command.token, lines))


def _answered_before(state: State, row: ReservationRow, request: bytes) -> Result | None:
    """The first answer of the Confirm or Release that closed the reservation, if this is the same one."""
    if remembered.resolution(row) != request:
        return None
    return remembered.resolution_answer(row)._replace(reservation=present(row, state.clock))


def _refused(state: State, at: Position, row: ReservationRow, token: FencingToken | None) -> Result | None:
    """Why this reservation cannot be changed by a call with this token."""
    if state.is_late(at):
        return _too_late(state, at, row)
    if not is_held(row, state.clock):
        return _closed(state, at, row)
    if not has_token(row, token):
        return at.answer(Outcome.STALE_TOKEN, present(row, state.clock))
    return None


def _closed(state: State, at: Position, row: ReservationRow) -> Result:
    reservation = present(row, state.clock)
    if reservation is None:
        raise InvariantError(f"{row.reservation_id} is a refusal, and was taken for a reservation")
    return at.answer(_CLOSED[reservation.state], reservation)


def _sell(state: State, at: Position, row: ReservationRow, command: Confirm) -> Answer:
    """Sell what is held, or what the command names of it."""
    if command.lines and sum_lines(command.lines) != ordered_lines(row.request):
        return _sell_some(state, at, row, command)
    held = units_of(row)
    for sku, ranges in held:
        state.stock.move(state.stock.known(sku), count(ranges), _HELD, _SOLD)
    closed = closed_row(row, _CONFIRMED, units=row.units, answer=row.answer, resolved_index=at.index)
    state.reservations.update(row, closed)
    if len(held) == 1 and len(held[0].ranges) == 1:
        (units,) = held[0].ranges
        return Served(at, _SAYS_CONFIRMED, NO_TOKEN, held[0].sku, units.first, units.last)  # as in confirm_all
    return Result(_SAYS_CONFIRMED, at.index, units=held)


def _sell_some(state: State, at: Position, row: ReservationRow, command: Confirm) -> Result:
    held, lines = units_of(row), sum_lines(command.lines)
    if _exceeds(held, lines):
        return at.answer(Outcome.EXCEEDS_HOLD, present(row, state.clock))
    wanted = dict(lines)
    sold = tuple(
        UnitLine(sku, kept) for sku, ranges in held if (kept := _settle(state, sku, ranges, wanted.get(sku, 0)))
    )
    closed = closed_row(
        row,
        _CONFIRMED,
        units=encode_units(sold),
        answer=remembered.kept_answer(row, held),
        resolution=confirm_request(command.token, lines),
        resolved_index=at.index,
    )
    state.reservations.update(row, closed)
    return Result(Outcome.CONFIRMED, at.index, units=sold)


def _exceeds(held: tuple[UnitLine, ...], lines: tuple[Line, ...]) -> bool:
    """Whether more is wanted of a sku than is held."""
    counts = {sku: count(ranges) for sku, ranges in held}
    return any(quantity > counts.get(sku, 0) for sku, quantity in lines)


def _settle(state: State, sku: str, held: Ranges, quantity: int) -> Ranges:
    """Sell the lowest units of a held line and free the others; what was sold."""
    shelf = state.stock.known(sku)
    sold, freed = split(held, quantity)
    state.stock.move(shelf, quantity, _HELD, _SOLD)
    state.stock.put_back(shelf, freed, _HELD)
    return sold


def _free(state: State, at: Position, row: ReservationRow, request: bytes) -> Result:
    held = units_of(row)
    for sku, ranges in held:
        state.stock.put_back(state.stock.known(sku), ranges, _HELD)
    closed = closed_row(
        row,
        ReservationState.RELEASED,
        units=NO_UNITS,
        answer=remembered.kept_answer(row, held),
        resolution=request,
        resolved_index=at.index,
        forget_at_tick=state.end_of_retention(),
    )
    state.reservations.update(row, closed)
    return Result(Outcome.RELEASED, at.index, reservation=present(closed, state.clock))


def _cancel(state: State, at: Position, row: ReservationRow | None, reservation_id: str, request: bytes) -> Result:
    """Remember an id without a reservation, unknown or refused, as RELEASED."""
    result = at.answer(Outcome.RELEASED)
    before = row or ReservationRow(reservation_id, REFUSED, None, None, None, state.clock, 0, NO_UNITS, None, None)
    cancelled = before._replace(
        state=int(ReservationState.RELEASED),
        resolution=request,
        resolved_index=at.index,
        forget_at_tick=state.end_of_retention(),
    )
    if row is None:
        state.reservations.add(cancelled)
    else:
        state.reservations.update(row, cancelled)
    return result._replace(reservation=present(cancelled, state.clock))


def _extend(state: State, at: Position, row: ReservationRow, until_tick: int) -> Result:
    latest = row.created_at_tick + state.parameters.hold_cap_ticks
    expires_at_tick = max(row.expires_at_tick, min(until_tick, latest))
    if expires_at_tick != row.expires_at_tick:
        units = units_of(row)
        before, row = row, row._replace(expires_at_tick=expires_at_tick, answer=remembered.kept_answer(row, units))
        state.reservations.update(before, row)
    return Result(Outcome.EXTENDED, at.index, expires_at_tick=expires_at_tick, reservation=present(row, state.clock))
