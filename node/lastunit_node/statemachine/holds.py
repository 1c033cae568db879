"""Confirm, Release and ExtendHold: what becomes of a hold.

Checked in this order: the resolution that closed it answers again; TOO_LATE; UNKNOWN_RESERVATION; ALREADY_CONFIRMED,
ALREADY_RELEASED or EXPIRED; STALE_TOKEN; EXCEEDS_HOLD. None of these refusals is remembered: a hold that stands can
still be resolved by a right call. A Confirm that names every unit is the same call as one that names none.
"""

from typing import Final, NamedTuple

from lastunit_node.statemachine.canonical import (
    confirm_request,
    decode_answer,
    encode_answer,
    ordered_lines,
    release_request,
)
from lastunit_node.statemachine.commands import Confirm, ExtendHold, FencingToken, Line, Release, UnitLine
from lastunit_node.statemachine.ranges import Ranges, count, split, sum_lines
from lastunit_node.statemachine.reservations import (
    REFUSED,
    closed_row,
    encode_units,
    kept_answer,
    present,
    state_of,
    token_of,
    units_of,
)
from lastunit_node.statemachine.results import Outcome, Reservation, ReservationState, Result
from lastunit_node.statemachine.state import Position, State
from lastunit_node.statemachine.stock import Place
from lastunit_node.statemachine.tables import ReservationRow

_HELD: Final = Place.HELD  # an enum's attribute costs three times a global
_SOLD: Final = Place.SOLD
_CLOSED: Final = {
    ReservationState.CONFIRMED: Outcome.ALREADY_CONFIRMED,
    ReservationState.RELEASED: Outcome.ALREADY_RELEASED,
    ReservationState.EXPIRED: Outcome.EXPIRED,
}


def confirm(state: State, at: Position, command: Confirm) -> Result:
    """Sell the units of a hold: all, or the lowest-numbered so many of each sku; the others are available again."""
    row = state.reservations.find(command.reservation_id)
    if row is None or row.state == REFUSED:
        return _unknown(state, at)
    ordered = ordered_lines(row.request)
    lines = sum_lines(command.lines) or ordered
    request = confirm_request(command.token, lines)
    return (
        _answered_before(state, row, request)
        or _refused(state, at, row, command.token)
        or _sell(state, at, _Hold(row, ordered, units_of(row)), lines, request)
    )


def release(state: State, at: Position, command: Release) -> Result:
    """Free the units of a hold. An id without a reservation is closed for good: what was given up cannot come late."""
    row = state.reservations.find(command.reservation_id)
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
    row = state.reservations.find(command.reservation_id)
    if row is None or row.state == REFUSED:
        return _unknown(state, at)
    return _refused(state, at, row, command.token) or _extend(state, at, row, command.until_tick)


def _unknown(state: State, at: Position) -> Result:
    return _too_late(state, at, None) or at.answer(Outcome.UNKNOWN_RESERVATION)


def _too_late(state: State, at: Position, row: ReservationRow | None) -> Result | None:
    return at.answer(Outcome.TOO_LATE, present(row, state.clock)) if state.is_late(at) else None


def _answered_before(state: State, row: ReservationRow, request: bytes) -> Result | None:
    """The first answer of the Confirm or Release that closed the reservation, if this is the same one."""
    if row.resolution != request or row.resolution_answer is None:
        return None
    return decode_answer(row.resolution_answer)._replace(reservation=present(row, state.clock))


def _refused(state: State, at: Position, row: ReservationRow, token: FencingToken | None) -> Result | None:
    """Why this reservation cannot be changed by a call with this token."""
    reservation_state = state_of(row, state.clock)
    if state.is_late(at):
        return _too_late(state, at, row)
    if reservation_state in _CLOSED:
        return at.answer(_CLOSED[reservation_state], present(row, state.clock))
    if token != token_of(row):
        return at.answer(Outcome.STALE_TOKEN, present(row, state.clock))
    return None


class _Hold(NamedTuple):
    """A hold that a call with the right token found: its row, what it was for, and what it holds."""

    row: ReservationRow
    ordered: tuple[Line, ...]
    units: tuple[UnitLine, ...]


def _sell(state: State, at: Position, hold: _Hold, lines: tuple[Line, ...], request: bytes) -> Result:
    if lines == hold.ordered:  # all that is held
        for sku, ranges in hold.units:
            state.stock.move(state.stock.known(sku), count(ranges), _HELD, _SOLD)
        return _close(state, at, hold, request, hold.units)
    if _exceeds(hold.units, lines):
        return at.answer(Outcome.EXCEEDS_HOLD, present(hold.row, state.clock))
    wanted = dict(lines)
    sold = tuple(
        UnitLine(sku, kept) for sku, ranges in hold.units if (kept := _settle(state, sku, ranges, wanted.get(sku, 0)))
    )
    return _close(state, at, hold, request, sold)


def _exceeds(held: tuple[UnitLine, ...], lines: tuple[Line, ...]) -> bool:
    """Whether more is wanted of a sku than is held."""
    counts = {sku: count(ranges) for sku, ranges in held}
    return any(quantity > counts.get(sku, 0) for sku, quantity in lines)


def _settle(state: State, sku: str, held: Ranges, quantity: int) -> Ranges:
    """Sell the lowest units of a held line and free the others; what was sold."""
    shelf = state.stock.known(sku)
    sold, freed = split(held, quantity)
    state.stock.move(shelf, quantity, _HELD, _SOLD)
    if freed:
        state.stock.put_back(shelf, freed, _HELD)
    return sold


def _free(state: State, at: Position, row: ReservationRow, request: bytes) -> Result:
    hold = _Hold(row, ordered_lines(row.request), units_of(row))
    for sku, ranges in hold.units:
        state.stock.put_back(state.stock.known(sku), ranges, _HELD)
    return _close(state, at, hold, request, None)


def _close(state: State, at: Position, hold: _Hold, request: bytes, sold: tuple[UnitLine, ...] | None) -> Result:
    """End a hold by its Confirm, or by its Release (None is sold), and remember how."""
    outcome, closed_as, forget_at_tick = (
        (Outcome.RELEASED, ReservationState.RELEASED, state.end_of_retention())
        if sold is None
        else (Outcome.CONFIRMED, ReservationState.CONFIRMED, None)
    )
    row, ordered, held = hold
    units = sold or ()
    answer = (outcome, at.token.index, None, 0, units, ())
    closed = closed_row(
        row,
        closed_as,
        units=row.units if units is held else encode_units(units),
        answer=row.answer if units is held else kept_answer(row, held),
        resolution=request,
        resolution_answer=encode_answer(answer),
        forget_at_tick=forget_at_tick,
    )
    state.reservations.close_hold(row, closed, held)
    reservation = Reservation(
        row.reservation_id, closed_as, token_of(row), row.created_at_tick, row.expires_at_tick, ordered, units
    )
    return Result(*answer, reservation=reservation)


def _cancel(state: State, at: Position, row: ReservationRow | None, reservation_id: str, request: bytes) -> Result:
    """Remember an id without a reservation, unknown or refused, as RELEASED."""
    result = at.answer(Outcome.RELEASED)
    before = row or ReservationRow(reservation_id, REFUSED, None, None, None, state.clock, 0, "[]", None, None)
    cancelled = before._replace(
        state=int(ReservationState.RELEASED),
        resolution=request,
        resolution_answer=encode_answer(result),
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
        row = state.reservations.move_expiry(row, expires_at_tick)
    return Result(
        Outcome.EXTENDED, at.token.index, expires_at_tick=expires_at_tick, reservation=present(row, state.clock)
    )
