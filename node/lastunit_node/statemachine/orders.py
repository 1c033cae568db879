"""Reserve and PlaceOrder: all lines or nothing, lowest-numbered units first.

Checked in this order: a known id answers again; TOO_LATE; UNKNOWN_SKU; OUT_OF_STOCK, for which due holds of the
order's own skus are expired first; TOO_FRAGMENTED, for an entry holds one command at least, and no node is to stand
still for one. The last three are remembered: a late retry cannot succeed where the first one was refused.
"""

from typing import Final

from lastunit_node.statemachine import expiry
from lastunit_node.statemachine.brief import AT_ONCE, OneLine
from lastunit_node.statemachine.canonical import encode_answer, place_order_request, reserve_request
from lastunit_node.statemachine.commands import Line, PlaceOrder, Reserve, UnitLine
from lastunit_node.statemachine.fragments import are_too_many
from lastunit_node.statemachine.ranges import sum_lines
from lastunit_node.statemachine.remembered import first_answer
from lastunit_node.statemachine.reservations import NO_UNITS, REFUSED, encode_range, encode_units, present
from lastunit_node.statemachine.results import Answer, Outcome, Position, ReservationState, Result, Served
from lastunit_node.statemachine.state import RANGE_BYTES, State
from lastunit_node.statemachine.stock import Place, Shelf
from lastunit_node.statemachine.table import Row
from lastunit_node.statemachine.tables import ReservationRow

# Looked up once: an enum's attribute costs three times a global, and these are needed for every order.
_CONFIRMED: Final = int(ReservationState.CONFIRMED)
_HELD: Final = int(ReservationState.HELD)
_ORDER_PLACED: Final = Outcome.ORDER_PLACED
_RESERVED: Final = Outcome.RESERVED
_HELD_UNITS: Final = int(Place.HELD)
_SOLD_UNITS: Final = int(Place.SOLD)


class Order:
    """An order that is to be served: its lines are summed. expires_at_tick: 0 when its units are sold at once."""

    __slots__ = ("expires_at_tick", "lines", "outcome", "request", "reservation_id")

    def __init__(
        self, reservation_id: str, lines: tuple[Line, ...], request: bytes, outcome: Outcome, expires_at_tick: int
    ) -> None:
        self.reservation_id = reservation_id
        self.lines = lines
        self.request = request
        self.outcome = outcome
        self.expires_at_tick = expires_at_tick


class Taken:
    """What an id took: its request, and its units as JSON."""

    __slots__ = ("request", "reservation_id", "units")

    def __init__(self, reservation_id: str, request: bytes, units: str) -> None:
        self.reservation_id = reservation_id
        self.request = request
        self.units = units


def reserve(state: State, at: Position, command: Reserve) -> Result:
    """Hold units for at least hold_ticks full ticks."""
    lines = sum_lines(command.lines)
    request = reserve_request(lines, command.hold_ticks)
    refusal = _answered_without_units(state, at, command.reservation_id, lines, request)
    if refusal is not None:
        return refusal
    expires_at_tick = _expiry(state, command.hold_ticks)
    return _serve(state, at, Order(command.reservation_id, lines, request, _RESERVED, expires_at_tick))


def place_order(state: State, at: Position, command: PlaceOrder) -> Result:
    """Sell units at once."""
    lines = sum_lines(command.lines)
    request = place_order_request(lines)
    refusal = _answered_without_units(state, at, command.reservation_id, lines, request)
    if refusal is not None:
        return refusal
    return _serve(state, at, Order(command.reservation_id, lines, request, _ORDER_PLACED, 0))


def one_line(state: State, at: Position, order: OneLine) -> Answer:
    """A Reserve or PlaceOrder of one line: served here when nothing is in its way, else answered as the command."""
    if not state.is_late(at) and state.reservations.is_free(order.reservation_id):
        shelf = state.stock.find(order.sku)
        place = _SOLD_UNITS if order.hold_ticks == AT_ONCE else _HELD_UNITS
        first = 0 if shelf is None else state.stock.take_range(shelf, order.quantity, place)
        if shelf is not None and first:
            return _serve_range(state, at, order, shelf, first)
    command = order.full()
    return place_order(state, at, command) if isinstance(command, PlaceOrder) else reserve(state, at, command)


def _serve_range(state: State, at: Position, order: OneLine, shelf: Shelf, first: int) -> Served:
    """Remember whose these units are, from `first` on."""
    last = first + order.quantity - 1
    taken = Taken(order.reservation_id, _request(order, shelf), encode_range(order.sku, first, last))
    if order.hold_ticks == AT_ONCE:
        state.reservations.add_sold(_row(state, at, taken, 0))
        return Served(at, _ORDER_PLACED, 0, order.sku, first, last)
    expires_at_tick = _expiry(state, order.hold_ticks)
    held = Served(at, _RESERVED, expires_at_tick, order.sku, first, last)
    state.reservations.add_range(_row(state, at, taken, expires_at_tick), held)
    return held


def _request(order: OneLine, shelf: Shelf) -> bytes:
    """The request of an order: most are the same as the last one of the sku."""
    if shelf.request is None or shelf.requested != order.quantity or shelf.requested_hold != order.hold_ticks:
        lines = ((order.sku, order.quantity),)
        hold_ticks = order.hold_ticks
        shelf.request = place_order_request(lines) if hold_ticks == AT_ONCE else reserve_request(lines, hold_ticks)
        shelf.requested, shelf.requested_hold = order.quantity, hold_ticks
    return shelf.request


def _answered_without_units(
    state: State, at: Position, reservation_id: str, lines: tuple[Line, ...], request: bytes
) -> Result | None:
    """The answer of a known id, TOO_LATE, or a refusal, which is remembered; None for an order that is to be served."""
    row = state.find(reservation_id)
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
    """Why an order cannot be served; None when it can. A line takes as long as a range, one that falls short as two."""
    short: list[Line] = []
    for line in lines:
        shelf = state.stock.find(line.sku)
        if shelf is None:
            state.spend(len(lines))
            state.spend_lines(len(lines))
            return at.answer(Outcome.UNKNOWN_SKU)
        if shelf.available < line.quantity:
            short.append(line)
    shortages = [shortage for line in short if (shortage := expiry.shortage(state, line))]
    if shortages:
        state.spend(len(lines) + len(short))
        state.spend_lines(len(lines))
        return Result(Outcome.OUT_OF_STOCK, at.index, shortages=tuple(shortages))
    if are_too_many(state, lines):
        return at.answer(Outcome.TOO_FRAGMENTED)
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
            units=NO_UNITS,
            request=request,
            answer=encode_answer(refusal),
            forget_at_tick=state.end_of_retention(),
        )
    )
    return refusal


def _expiry(state: State, hold_ticks: int) -> int:
    """The tick at which a hold that begins now ends; hold_ticks 0: the cluster's default."""
    parameters = state.parameters
    return state.clock + min(hold_ticks or parameters.hold_ticks, parameters.hold_cap_ticks) + 1


def _serve(state: State, at: Position, order: Order) -> Result:
    """Take the units, and remember whose they are."""
    expires_at_tick = order.expires_at_tick
    units = _take(state, order.lines, _HELD_UNITS if expires_at_tick else _SOLD_UNITS)
    taken = Taken(order.reservation_id, order.request, encode_units(units))
    state.spend(len(taken.units) // RANGE_BYTES)
    state.spend_lines(len(order.lines))
    row = _row(state, at, taken, expires_at_tick)
    if expires_at_tick:
        state.reservations.add_hold(row)
    else:
        state.reservations.add_sold(row)
    return Result(order.outcome, at.index, at.token, expires_at_tick, units)


def _row(state: State, at: Position, taken: Taken, expires_at_tick: int) -> Row:
    """A ReservationRow as a plain tuple: its answer and how it was closed are None, for it says them itself."""
    return (
        taken.reservation_id,
        _HELD if expires_at_tick else _CONFIRMED,
        at.term,
        at.index,
        at.position,
        state.clock,
        expires_at_tick,
        taken.units,
        taken.request,
        None,
        None,
        None,
        None,
        None,
    )


def _take(state: State, lines: tuple[Line, ...], to: int) -> tuple[UnitLine, ...]:
    """The lowest-numbered units of every line."""
    stock = state.stock
    return tuple([UnitLine(sku, stock.take(stock.known(sku), quantity, to)) for sku, quantity in lines])
