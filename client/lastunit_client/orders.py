"""Commands on orders and holds, encoded by hand (wire.py): most calls are one of these. commands.py has the others.

Says what is not even encodable; the nodes judge the rest. Ids and numbers are what a caller gave: hence Any.
"""

from collections.abc import Mapping
from operator import index
from typing import Any, Final

from lastunit.v1 import inventory_pb2
from lastunit_client.arguments import INT64, elements, integer, shown, utf8
from lastunit_client.errors import InvalidRequestError
from lastunit_client.fencing import FencingToken
from lastunit_client.models import Line, Lines
from lastunit_client.wire import content, content_tag, number_tag, varint

_UINT64: Final = range(1 << 64)
_UINT32: Final = range(1 << 32)

_PLACE_ORDER: Final = content_tag(inventory_pb2.Command.PLACE_ORDER_FIELD_NUMBER)
_PLACE_ORDER_ID: Final = content_tag(inventory_pb2.PlaceOrderRequest.RESERVATION_ID_FIELD_NUMBER)
_PLACE_ORDER_LINES: Final = content_tag(inventory_pb2.PlaceOrderRequest.LINES_FIELD_NUMBER)

_RESERVE: Final = content_tag(inventory_pb2.Command.RESERVE_FIELD_NUMBER)
_RESERVE_ID: Final = content_tag(inventory_pb2.ReserveRequest.RESERVATION_ID_FIELD_NUMBER)
_RESERVE_LINES: Final = content_tag(inventory_pb2.ReserveRequest.LINES_FIELD_NUMBER)
_RESERVE_HOLD_TICKS: Final = number_tag(inventory_pb2.ReserveRequest.HOLD_TICKS_FIELD_NUMBER)

_CONFIRM: Final = content_tag(inventory_pb2.Command.CONFIRM_FIELD_NUMBER)
_CONFIRM_ID: Final = content_tag(inventory_pb2.ConfirmRequest.RESERVATION_ID_FIELD_NUMBER)
_CONFIRM_TOKEN: Final = content_tag(inventory_pb2.ConfirmRequest.TOKEN_FIELD_NUMBER)
_CONFIRM_LINES: Final = content_tag(inventory_pb2.ConfirmRequest.LINES_FIELD_NUMBER)

_RELEASE: Final = content_tag(inventory_pb2.Command.RELEASE_FIELD_NUMBER)
_RELEASE_ID: Final = content_tag(inventory_pb2.ReleaseRequest.RESERVATION_ID_FIELD_NUMBER)
_RELEASE_TOKEN: Final = content_tag(inventory_pb2.ReleaseRequest.TOKEN_FIELD_NUMBER)

_EXTEND_HOLD: Final = content_tag(inventory_pb2.Command.EXTEND_HOLD_FIELD_NUMBER)
_EXTEND_HOLD_ID: Final = content_tag(inventory_pb2.ExtendHoldRequest.RESERVATION_ID_FIELD_NUMBER)
_EXTEND_HOLD_TOKEN: Final = content_tag(inventory_pb2.ExtendHoldRequest.TOKEN_FIELD_NUMBER)
_EXTEND_HOLD_UNTIL: Final = number_tag(inventory_pb2.ExtendHoldRequest.UNTIL_TICK_FIELD_NUMBER)

_RECEIVE_STOCK: Final = content_tag(inventory_pb2.Command.RECEIVE_STOCK_FIELD_NUMBER)
_RECEIVE_STOCK_ID: Final = content_tag(inventory_pb2.ReceiveStockRequest.RECEIPT_ID_FIELD_NUMBER)
_RECEIVE_STOCK_LINES: Final = content_tag(inventory_pb2.ReceiveStockRequest.LINES_FIELD_NUMBER)

_LINE_SKU: Final = content_tag(inventory_pb2.Line.SKU_FIELD_NUMBER)
_LINE_QUANTITY: Final = number_tag(inventory_pb2.Line.QUANTITY_FIELD_NUMBER)

_TOKEN_TERM: Final = number_tag(inventory_pb2.FencingToken.TERM_FIELD_NUMBER)
_TOKEN_INDEX: Final = number_tag(inventory_pb2.FencingToken.INDEX_FIELD_NUMBER)
_TOKEN_POSITION: Final = number_tag(inventory_pb2.FencingToken.POSITION_FIELD_NUMBER)


def place_order(reservation_id: Any, lines: Lines) -> bytes:
    """A PlaceOrder command."""
    request = content(_PLACE_ORDER_ID, utf8("reservation_id", reservation_id)) + _lines(_PLACE_ORDER_LINES, lines)
    return content(_PLACE_ORDER, request)


def reserve(reservation_id: Any, lines: Lines, hold_ticks: Any) -> bytes:
    """A Reserve command."""
    request = content(_RESERVE_ID, utf8("reservation_id", reservation_id)) + _lines(_RESERVE_LINES, lines)
    return content(_RESERVE, request + _RESERVE_HOLD_TICKS + varint(integer("hold_ticks", hold_ticks)))


def confirm(reservation_id: Any, token: FencingToken, lines: Lines | None) -> bytes:
    """A Confirm command; None confirms everything held, and an empty choice is refused, lest it sell everything."""
    request = content(_CONFIRM_ID, utf8("reservation_id", reservation_id)) + content(_CONFIRM_TOKEN, _token(token))
    if lines is not None:
        chosen = _lines(_CONFIRM_LINES, lines)
        if not chosen:
            raise InvalidRequestError("lines", "name at least one, or give None to confirm everything held")
        request += chosen
    return content(_CONFIRM, request)


def release(reservation_id: Any, token: FencingToken | None) -> bytes:
    """A Release command."""
    request = content(_RELEASE_ID, utf8("reservation_id", reservation_id))
    if token is not None:
        request += content(_RELEASE_TOKEN, _token(token))
    return content(_RELEASE, request)


def extend_hold(reservation_id: Any, token: FencingToken, until_tick: Any) -> bytes:
    """An ExtendHold command."""
    held = content(_EXTEND_HOLD_ID, utf8("reservation_id", reservation_id)) + content(_EXTEND_HOLD_TOKEN, _token(token))
    until = _EXTEND_HOLD_UNTIL + varint(integer("until_tick", until_tick))
    return content(_EXTEND_HOLD, held + until)


def receive_stock(receipt_id: Any, lines: Lines) -> bytes:
    """A ReceiveStock command."""
    request = content(_RECEIVE_STOCK_ID, utf8("receipt_id", receipt_id)) + _lines(_RECEIVE_STOCK_LINES, lines)
    return content(_RECEIVE_STOCK, request)


def _lines(tag: bytes, lines: Lines) -> bytes:
    """Lines, as callers write them, of a request that has them under this tag."""
    if isinstance(lines, (dict, Mapping)):
        return b"".join([_line(tag, at, sku, quantity) for at, (sku, quantity) in enumerate(lines.items())])
    encoded: list[bytes] = []
    for at, entry in enumerate(elements("lines", lines)):
        try:
            sku, quantity = (entry.sku, entry.quantity) if isinstance(entry, Line) else entry
        except (TypeError, ValueError):
            raise _no_line(at, entry) from None
        encoded.append(_line(tag, at, sku, quantity))
    return b"".join(encoded)


def _line(tag: bytes, at: int, sku: Any, quantity: Any) -> bytes:
    """The line in this place, from 0."""
    try:
        number = quantity if type(quantity) is int else index(quantity)
        return content(tag, content(_LINE_SKU, sku.encode()) + _LINE_QUANTITY + _int64(number))
    except (AttributeError, TypeError, ValueError):
        raise _no_line(at, (sku, quantity)) from None


def _no_line(at: int, entry: Any) -> InvalidRequestError:
    return InvalidRequestError(f"lines[{at}]", f"expected sku and quantity, got {shown(entry)}")


def _int64(value: int) -> bytes:
    return varint(value if 0 <= value < 128 else _in(INT64, value))


def _token(token: FencingToken) -> bytes:
    try:
        term = varint(_in(_UINT64, index(token.term)))
        at = varint(_in(_UINT64, index(token.index)))
        position = varint(_in(_UINT32, index(token.position)))
    except (AttributeError, TypeError, ValueError):
        raise InvalidRequestError("token", f"expected a FencingToken, got {token!r}") from None
    return _TOKEN_TERM + term + _TOKEN_INDEX + at + _TOKEN_POSITION + position


def _in(allowed: range, value: int) -> int:
    if value in allowed:
        return value
    raise ValueError(value)
