"""Requests of lastunit.v1, from their bytes, and as commands of the state machine.

Each function gives a checked command or raises CallError INVALID_ARGUMENT that names the proto field, relative to the
command's own request ("lines[3].quantity"). What a field may hold is the state machine's to say (validation.py);
only what commands cannot express is checked here: a missing token, an empty oneof, a timeout.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.deadlines import seconds_for
from lastunit_node.frontend.errors import CallError, invalid_argument
from lastunit_node.statemachine import commands as cm
from lastunit_node.statemachine.limits import MAX_MESSAGE_BYTES
from lastunit_node.statemachine.validation import InvalidField, check_command

RequestT = TypeVar("RequestT")
MessageT = TypeVar("MessageT", bound=Message)
Convert = Callable[[RequestT], cm.Command]


def parsed(kind: type[MessageT], data: bytes) -> MessageT:
    """The request of this kind that these bytes are; CallError otherwise."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise unreadable(kind.DESCRIPTOR.name) from None


def unreadable(kind: str) -> CallError:
    """What came is no message of this kind."""
    return invalid_argument(kind, "cannot be read: these bytes are no such message")


def checked(convert: Convert[RequestT], request: RequestT) -> cm.Command:
    """The request as a command within all limits; CallError otherwise."""
    command = convert(request)
    try:
        check_command(command)
    except InvalidField as invalid:
        raise invalid_argument(invalid.field, invalid.problem) from None
    return command


def place_order(request: pb.PlaceOrderRequest) -> cm.Command:
    """PlaceOrder, unchecked."""
    return cm.PlaceOrder(request.reservation_id, _lines(request.lines))


def reserve(request: pb.ReserveRequest) -> cm.Command:
    """Reserve, unchecked."""
    return cm.Reserve(request.reservation_id, _lines(request.lines), request.hold_ticks)


def confirm(request: pb.ConfirmRequest) -> cm.Command:
    """Confirm, unchecked but for its token."""
    return cm.Confirm(request.reservation_id, _required_token(request), _lines(request.lines))


def release(request: pb.ReleaseRequest) -> cm.Command:
    """Release, unchecked."""
    return cm.Release(request.reservation_id, _token(request.token) if request.HasField("token") else None)


def extend_hold(request: pb.ExtendHoldRequest) -> cm.Command:
    """ExtendHold, unchecked but for its token."""
    return cm.ExtendHold(request.reservation_id, _required_token(request), request.until_tick)


def receive_stock(request: pb.ReceiveStockRequest) -> cm.Command:
    """ReceiveStock, unchecked."""
    return cm.ReceiveStock(request.receipt_id, _lines(request.lines))


def adjust_stock(request: pb.AdjustStockRequest) -> cm.Command:
    """AdjustStock, unchecked."""
    ranges = _ranges(request.ranges)
    return cm.AdjustStock(request.adjustment_id, request.sku, request.quantity, ranges, request.reason)


def return_units(request: pb.ReturnUnitsRequest) -> cm.Command:
    """ReturnUnits, unchecked."""
    lines = tuple([cm.UnitLine(line.sku, _ranges(line.ranges)) for line in request.lines])
    return cm.ReturnUnits(request.return_id, request.reservation_id, lines)


_BY_FIELD: Final[dict[str, Convert[Any]]] = {
    "place_order": place_order,
    "reserve": reserve,
    "confirm": confirm,
    "release": release,
    "extend_hold": extend_hold,
    "receive_stock": receive_stock,
    "adjust_stock": adjust_stock,
    "return_units": return_units,
}


def command_of(message: pb.Command) -> cm.Command:
    """The one command of a position of an Execute message, checked."""
    field = message.WhichOneof("command")
    if field is None:
        raise invalid_argument("command", "one of its fields must be set")
    return checked(_BY_FIELD[field], getattr(message, field))


def timeout_of(message: pb.Command) -> float:
    """How long this command of an Execute message may take here, in seconds."""
    timeout = message.timeout
    seconds: float = timeout.seconds + timeout.nanos / 1e9
    if seconds > 0:
        return seconds_for(seconds)
    if message.HasField("timeout"):
        raise invalid_argument("timeout", f"must be positive, is {seconds} s")
    return seconds_for(None)


def check_size(kind: str, size: int) -> None:
    """Raise CallError for a message of more bytes than it may have."""
    if size > MAX_MESSAGE_BYTES:
        raise invalid_argument(kind, f"must take at most {MAX_MESSAGE_BYTES} bytes, takes {size}")


def _lines(lines: Iterable[pb.Line]) -> tuple[cm.Line, ...]:
    return tuple([cm.Line(line.sku, line.quantity) for line in lines])


def _ranges(ranges: Iterable[pb.UnitRange]) -> tuple[cm.UnitRange, ...]:
    return tuple([cm.UnitRange(span.first, span.last) for span in ranges])


def _token(token: pb.FencingToken) -> cm.FencingToken:
    return cm.FencingToken(token.term, token.index, token.position)


def _required_token(request: pb.ConfirmRequest | pb.ExtendHoldRequest) -> cm.FencingToken:
    if not request.HasField("token"):
        raise invalid_argument("token", "is required: the one that Reserve gave")
    return _token(request.token)
