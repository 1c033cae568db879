"""What a reservation answers when a command comes again: the one that took its id, and the one that closed it.

Of both, the row keeps only what it does not say itself (schema.py): most reservations live without either answer.
"""

from typing import Final

from lastunit_node.statemachine.canonical import confirm_request, decode_answer, encode_answer, ordered_lines
from lastunit_node.statemachine.commands import UnitLine
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.reservations import token_of, units_of
from lastunit_node.statemachine.results import Outcome, ReservationState, Result
from lastunit_node.statemachine.tables import ReservationRow

_CONFIRMED: Final = int(ReservationState.CONFIRMED)


def first_answer(row: ReservationRow) -> Result:
    """What the command that took the id was answered."""
    return _first(row, units_of(row)) if row.answer is None else decode_answer(row.answer)


def kept_answer(row: ReservationRow, units: tuple[UnitLine, ...]) -> bytes:
    """The same, for a row whose units or expiry are about to change; `units` are those that it has."""
    return encode_answer(_first(row, units)) if row.answer is None else row.answer


def resolution(row: ReservationRow) -> bytes | None:
    """The request of the Confirm or Release that closed it; None when neither did."""
    if row.resolution is not None or row.resolved_index is None:
        return row.resolution
    token = token_of(row)
    if token is None:
        raise InvariantError(f"reservation {row.reservation_id} was confirmed, but never held")
    return confirm_request(token, ordered_lines(row.request))


def resolution_answer(row: ReservationRow) -> Result:
    """What that one was answered."""
    return _last(row, units_of(row)) if row.resolution_answer is None else decode_answer(row.resolution_answer)


def kept_resolution_answer(row: ReservationRow, units: tuple[UnitLine, ...]) -> bytes | None:
    """The same, for a row whose units are about to change, if there was one."""
    if row.resolution_answer is not None or row.resolved_index is None:
        return row.resolution_answer
    return encode_answer(_last(row, units))


def _first(row: ReservationRow, units: tuple[UnitLine, ...]) -> Result:
    """The first answer to a hold or a sale whose units and expiry are still what they were then."""
    if row.token_index is None:
        raise InvariantError(f"reservation {row.reservation_id} has neither a token nor an answer")
    outcome = Outcome.RESERVED if row.expires_at_tick else Outcome.ORDER_PLACED
    return Result(outcome, row.token_index, token_of(row), row.expires_at_tick, units, replayed=True)


def _last(row: ReservationRow, units: tuple[UnitLine, ...]) -> Result:
    """The answer to the Confirm or Release of a reservation whose units are still those that it left."""
    if row.resolved_index is None:
        raise InvariantError(f"reservation {row.reservation_id} has an answer to what never closed it")
    outcome = Outcome.CONFIRMED if row.state == _CONFIRMED else Outcome.RELEASED
    return Result(outcome, row.resolved_index, units=units, replayed=True)
