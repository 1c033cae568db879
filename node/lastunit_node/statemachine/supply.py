"""ReceiveStock, AdjustStock and ReturnUnits: how units come, go and come back.

Checked in this order: a known id answers again; TOO_LATE; then what the state refuses. Such a refusal is remembered
until the retention is over; what changed stock is remembered for good.
"""

from typing import Final

from lastunit_node.statemachine import expiry, remembered
from lastunit_node.statemachine.canonical import adjust_request, receive_request, return_request
from lastunit_node.statemachine.changes import Kind
from lastunit_node.statemachine.commands import AdjustStock, Line, ReceiveStock, ReturnUnits, UnitLine, UnitRange
from lastunit_node.statemachine.fragments import are_too_many
from lastunit_node.statemachine.limits import MAX_QUANTITY
from lastunit_node.statemachine.ranges import Ranges, contains, join_unit_lines, normalise, subtract, sum_lines
from lastunit_node.statemachine.reservations import encode_units, present, state_of, units_of
from lastunit_node.statemachine.results import Outcome, Position, ReservationState, Result
from lastunit_node.statemachine.state import State
from lastunit_node.statemachine.stock import Place, Shelf
from lastunit_node.statemachine.tables import RemovedRow, ReservationRow

NAMED: Final = 9  # ranges that are taken from the front in the time of one that lies anywhere, beside its own
_ACCEPTED = {Outcome.RECEIVED, Outcome.ADJUSTED, Outcome.RETURNED}


def receive_stock(state: State, at: Position, command: ReceiveStock) -> Result:
    """Add the next numbers of each sku to available."""
    request = receive_request(command)
    return _answered_before(state, at, Kind.RECEIPT, command.receipt_id, request) or _remember(
        state, Kind.RECEIPT, command.receipt_id, request, _receive(state, at, command)
    )


def adjust_stock(state: State, at: Position, command: AdjustStock) -> Result:
    """Remove damaged or lost units from available: the lowest-numbered so many, or the named ones."""
    request = adjust_request(command)
    return _answered_before(state, at, Kind.ADJUSTMENT, command.adjustment_id, request) or _remember(
        state, Kind.ADJUSTMENT, command.adjustment_id, request, _adjust(state, at, command)
    )


def return_units(state: State, at: Position, command: ReturnUnits) -> Result:
    """Put named units of a confirmed reservation back to available."""
    request = return_request(command)
    result = _answered_before(state, at, Kind.RETURN, command.return_id, request) or _remember(
        state, Kind.RETURN, command.return_id, request, _return(state, at, command)
    )
    row = state.find(command.reservation_id)
    return result._replace(reservation=present(row, state.clock))


def _answered_before(state: State, at: Position, kind: Kind, change_id: str, request: bytes) -> Result | None:
    """The answer of a known id, or TOO_LATE."""
    known = state.changes.answer_again(kind, change_id, request, at.index)
    if known is not None:
        state.spend(sum([len(line.ranges) for line in known.units]))
    elif state.is_late(at):
        return at.answer(Outcome.TOO_LATE)
    return known


def _remember(state: State, kind: Kind, change_id: str, request: bytes, result: Result) -> Result:
    forget_at_tick = None if result.outcome in _ACCEPTED else state.end_of_retention()
    state.changes.remember(kind, change_id, request, result, forget_at_tick)
    return result


def _receive(state: State, at: Position, command: ReceiveStock) -> Result:
    units = [UnitLine(sku, (state.stock.receive(sku, quantity),)) for sku, quantity in sum_lines(command.lines)]
    state.spend(len(units))
    state.spend_lines(len(units))
    return Result(Outcome.RECEIVED, at.index, units=tuple(units))


def _adjust(state: State, at: Position, command: AdjustStock) -> Result:
    shelf = state.stock.find(command.sku)
    state.spend(len(command.ranges))
    if shelf is None:
        return at.answer(Outcome.UNKNOWN_SKU)
    if command.ranges:
        return _adjust_named(state, at, command, shelf)
    shortage = expiry.shortage(state, Line(command.sku, command.quantity))
    if shortage is not None:
        return Result(Outcome.OUT_OF_STOCK, at.index, shortages=(shortage,))
    if are_too_many(state, [Line(command.sku, command.quantity)]):
        return at.answer(Outcome.TOO_FRAGMENTED)
    taken = state.stock.take(shelf, command.quantity, Place.REMOVED)
    state.spend(len(taken))
    return _removed(state, at, command, taken)


def _adjust_named(state: State, at: Position, command: AdjustStock, shelf: Shelf) -> Result:
    ranges = normalise(command.ranges)
    if not all(_is_available(state, shelf, named) for named in ranges):
        return at.answer(Outcome.UNITS_NOT_AVAILABLE)
    state.spend(NAMED * len(ranges))  # not before: then who needs due holds expired would be postponed for ever
    state.stock.take_named(shelf, ranges, Place.REMOVED)
    return _removed(state, at, command, ranges)


def _is_available(state: State, shelf: Shelf, named: UnitRange) -> bool:
    """Whether these units are available, once due holds of their sku were expired, some at a time."""
    while not state.stock.has_available(shelf, named):
        if not expiry.expire_first_of(state, shelf.sku, MAX_QUANTITY):
            return False
    return True


def _removed(state: State, at: Position, command: AdjustStock, ranges: Ranges) -> Result:
    for first, last in ranges:
        state.removed.insert(RemovedRow(command.sku, first, last, command.adjustment_id))
    return Result(Outcome.ADJUSTED, at.index, units=(UnitLine(command.sku, ranges),))


def _return(state: State, at: Position, command: ReturnUnits) -> Result:
    row = state.find(command.reservation_id)
    state.spend(sum([len(line.ranges) for line in command.lines]))
    reservation_state = None if row is None else state_of(row, state.clock)
    if row is None or reservation_state is None:
        return at.answer(Outcome.UNKNOWN_RESERVATION)
    if reservation_state is not ReservationState.CONFIRMED:
        return at.answer(Outcome.NOT_CONFIRMED)
    returned = join_unit_lines(command.lines)
    before = units_of(row)
    sold = dict(before)
    if not all(contains(sold.get(sku, ()), ranges) for sku, ranges in returned):
        return at.answer(Outcome.UNITS_NOT_SOLD)
    _put_back(state, row, before, returned)
    return Result(Outcome.RETURNED, at.index, units=returned)


def _put_back(state: State, row: ReservationRow, before: tuple[UnitLine, ...], returned: tuple[UnitLine, ...]) -> None:
    sold = dict(before)
    for sku, ranges in returned:
        state.stock.put_back(state.stock.known(sku), ranges, Place.SOLD)
        sold[sku] = subtract(sold[sku], ranges)
    left = tuple(UnitLine(sku, ranges) for sku, ranges in sold.items() if ranges)
    kept = row._replace(
        units=encode_units(left),
        answer=remembered.kept_answer(row, before),
        resolution_answer=remembered.kept_resolution_answer(row, before),
    )
    state.reservations.update(row, kept)
