"""From a caller's arguments to messages of lastunit.v1. Says what is not even encodable; the nodes judge the rest."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from lastunit.v1 import inventory_pb2
from lastunit_client.errors import InvalidRequestError
from lastunit_client.fencing import FencingToken
from lastunit_client.models import Line, Lines, Ranges, ReservationState, UnitRange, Units

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

_INT64: Final = range(-(1 << 63), 1 << 63)


def place_order(reservation_id: str, lines: Lines) -> inventory_pb2.Command:
    """A PlaceOrder command."""
    command = inventory_pb2.Command()
    request = command.place_order  # filled in place: half the cost of a copy
    request.reservation_id = _text("reservation_id", reservation_id)
    _add_lines(request.lines, lines)
    return command


def reserve(reservation_id: str, lines: Lines, hold_ticks: int) -> inventory_pb2.Command:
    """A Reserve command."""
    command = inventory_pb2.Command()
    request = command.reserve
    request.reservation_id = _text("reservation_id", reservation_id)
    request.hold_ticks = _integer("hold_ticks", hold_ticks)
    _add_lines(request.lines, lines)
    return command


def confirm(reservation_id: str, token: FencingToken, lines: Lines | None) -> inventory_pb2.Command:
    """A Confirm command; None confirms everything held, and an empty choice is refused, lest it sell everything."""
    command = inventory_pb2.Command()
    request = command.confirm
    request.reservation_id = _text("reservation_id", reservation_id)
    request.token.CopyFrom(_token(token))
    if lines is not None:
        _add_lines(request.lines, lines)
        if not request.lines:
            raise InvalidRequestError("lines", "name at least one, or give None to confirm everything held")
    return command


def release(reservation_id: str, token: FencingToken | None) -> inventory_pb2.Command:
    """A Release command."""
    request = inventory_pb2.ReleaseRequest(
        reservation_id=_text("reservation_id", reservation_id),
        token=None if token is None else _token(token),
    )
    return inventory_pb2.Command(release=request)


def extend_hold(reservation_id: str, token: FencingToken, until_tick: int) -> inventory_pb2.Command:
    """An ExtendHold command."""
    request = inventory_pb2.ExtendHoldRequest(
        reservation_id=_text("reservation_id", reservation_id),
        token=_token(token),
        until_tick=_integer("until_tick", until_tick),
    )
    return inventory_pb2.Command(extend_hold=request)


def receive_stock(receipt_id: str, lines: Lines) -> inventory_pb2.Command:
    """A ReceiveStock command."""
    request = inventory_pb2.ReceiveStockRequest(receipt_id=_text("receipt_id", receipt_id))
    _add_lines(request.lines, lines)
    return inventory_pb2.Command(receive_stock=request)


def adjust_stock(
    adjustment_id: str, sku: str, *, quantity: int | None, ranges: Ranges | None, reason: str
) -> inventory_pb2.Command:
    """An AdjustStock command, by quantity or by ranges."""
    if (quantity is None) == (ranges is None):
        raise InvalidRequestError("quantity", "give either a quantity or ranges", request_id=adjustment_id)
    request = inventory_pb2.AdjustStockRequest(
        adjustment_id=_text("adjustment_id", adjustment_id),
        sku=_text("sku", sku),
        quantity=_integer("quantity", quantity or 0),
        ranges=_ranges("ranges", () if ranges is None else ranges),
        reason=_text("reason", reason),
    )
    return inventory_pb2.Command(adjust_stock=request)


def return_units(return_id: str, reservation_id: str, units: Units) -> inventory_pb2.Command:
    """A ReturnUnits command."""
    request = inventory_pb2.ReturnUnitsRequest(
        return_id=_text("return_id", return_id),
        reservation_id=_text("reservation_id", reservation_id),
        lines=_unit_lines(units),
    )
    return inventory_pb2.Command(return_units=request)


def read_options(stale: bool, min_index: int) -> inventory_pb2.ReadOptions:
    """How a query is to be read."""
    consistency = inventory_pb2.READ_CONSISTENCY_STALE if stale else inventory_pb2.READ_CONSISTENCY_LINEARIZABLE
    return inventory_pb2.ReadOptions(consistency=consistency, min_index=min_index)


def list_reservations(
    state: ReservationState | None, page_size: int, options: inventory_pb2.ReadOptions
) -> inventory_pb2.ListReservationsRequest:
    """Asks for the first page; state None: all."""
    wanted = (
        inventory_pb2.RESERVATION_STATE_UNSPECIFIED
        if state is None
        else inventory_pb2.ReservationState.ValueType(state.value)
    )
    return inventory_pb2.ListReservationsRequest(state=wanted, page_size=page_size, options=options)


def _text(field: str, value: str) -> str:
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidRequestError(field, f"expected text, got {value!r}") from None
    return value


def _integer(field: str, value: object) -> int:
    if not isinstance(value, int) or value not in _INT64:
        raise InvalidRequestError(field, f"expected a 64-bit integer, got {value!r}")
    return value


def _token(token: FencingToken) -> inventory_pb2.FencingToken:
    try:
        return inventory_pb2.FencingToken(term=token.term, index=token.index, position=token.position)
    except (AttributeError, TypeError, ValueError):
        raise InvalidRequestError("token", f"expected a FencingToken, got {token!r}") from None


def _add_lines(added: "RepeatedCompositeFieldContainer[inventory_pb2.Line]", lines: Lines) -> None:
    pairs: Iterable[Line | tuple[str, int]] = lines.items() if isinstance(lines, Mapping) else lines
    for entry in pairs:
        try:
            sku, quantity = (entry.sku, entry.quantity) if isinstance(entry, Line) else entry
            added.add(sku=sku, quantity=quantity)
        except (TypeError, ValueError):
            message = f"expected sku and quantity, got {entry!r}"
            raise InvalidRequestError(f"lines[{len(added)}]", message) from None


def _unit_lines(units: Units) -> list[inventory_pb2.UnitLine]:
    pairs: Iterable[tuple[str, Ranges]] = (
        units.items() if isinstance(units, Mapping) else ((line.sku, line.ranges) for line in units)
    )
    return [
        inventory_pb2.UnitLine(
            sku=_text(f"lines[{number}].sku", sku), ranges=_ranges(f"lines[{number}].ranges", ranges)
        )
        for number, (sku, ranges) in enumerate(pairs)
    ]


def _ranges(field: str, ranges: Ranges) -> list[inventory_pb2.UnitRange]:
    return [_range(f"{field}[{number}]", entry) for number, entry in enumerate(ranges)]


def _range(field: str, entry: UnitRange | tuple[int, int]) -> inventory_pb2.UnitRange:
    try:
        first, last = (entry.first, entry.last) if isinstance(entry, UnitRange) else entry
        return inventory_pb2.UnitRange(first=first, last=last)
    except (TypeError, ValueError):
        raise InvalidRequestError(field, f"expected first and last unit, got {entry!r}") from None
