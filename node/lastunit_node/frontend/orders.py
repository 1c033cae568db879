"""Commands read off the bytes of a message: the most frequent ones, without an object for each part of them.

A PlaceOrder, a Reserve, a Confirm that names no lines, a Release and an ExtendHold, as clients write them, are read
byte by byte. Compiled, an order of one line takes 0.2 us, where protobuf's objects and the checks take 1.7;
interpreted, both take about 3. What looks different in any way, or breaks a limit, is not judged here but left to
protobuf and requests.py, which say what is wrong with it.
"""

from typing import Final

from google.protobuf.duration_pb2 import Duration

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.deadlines import DEFAULT_SECONDS, seconds_for
from lastunit_node.frontend.wire import tag
from lastunit_node.statemachine.brief import AT_ONCE, Brief, ConfirmAll, OneLine
from lastunit_node.statemachine.commands import ExtendHold, FencingToken, Line, PlaceOrder, Release, Reserve
from lastunit_node.statemachine.limits import MAX_ID, MAX_LINES, MAX_QUANTITY, MAX_TICK, are_id_bytes

PLACE_ORDER: Final[int] = ord(tag(pb.Command, "place_order"))
RESERVE: Final[int] = ord(tag(pb.Command, "reserve"))
CONFIRM: Final[int] = ord(tag(pb.Command, "confirm"))
RELEASE: Final[int] = ord(tag(pb.Command, "release"))
EXTEND_HOLD: Final[int] = ord(tag(pb.Command, "extend_hold"))

_COMMANDS: Final = ord(tag(pb.ExecuteRequest, "commands"))
_TIMEOUT: Final = ord(tag(pb.Command, "timeout"))
_RESERVATION_ID: Final = ord(tag(pb.ReserveRequest, "reservation_id"))  # the same in all five
_LINES: Final = ord(tag(pb.ReserveRequest, "lines"))  # the same in PlaceOrder
_HOLD_TICKS: Final = ord(tag(pb.ReserveRequest, "hold_ticks"))
_SKU: Final = ord(tag(pb.Line, "sku"))
_QUANTITY: Final = ord(tag(pb.Line, "quantity"))
_TOKEN: Final = ord(tag(pb.ConfirmRequest, "token"))  # the same in Release and ExtendHold
_UNTIL_TICK: Final = ord(tag(pb.ExtendHoldRequest, "until_tick"))
_TERM: Final = ord(tag(pb.FencingToken, "term"))
_INDEX: Final = ord(tag(pb.FencingToken, "index"))
_POSITION: Final = ord(tag(pb.FencingToken, "position"))
_SECONDS: Final = ord(tag(Duration, "seconds"))
_NANOS: Final = ord(tag(Duration, "nanos"))

Plain = Brief | PlaceOrder | Reserve | Release | ExtendHold

_NO_COMMAND: Final = (None, 0.0, 0)
_NO_TOKEN: Final = (-1, 0, 0, 0)
_NO_LINE: Final = ("", 0, 0)
_NO_SPAN: Final = (0, 0)
_MOST_LENGTH: Final = 4  # bytes of a command's tag and length
_MAX_POSITION: Final = (1 << 32) - 1  # of more, protobuf drops bits
_MAX_NANOS: Final = 999_999_999  # more has a meaning of protobuf's own


def command_at(data: bytes, start: int) -> tuple[Plain | None, float, int]:
    """The command that begins here in an ExecuteRequest, how long it may take here in seconds, and where it ends.

    None for what is not plainly one of these commands within all limits; the rest then means nothing.
    """
    try:
        return _command_at(data, start)
    except IndexError:  # something is cut off
        return _NO_COMMAND


def span_at(data: bytes, start: int) -> tuple[int, int]:
    """Where the bytes of a command of any kind lie that begins here in an ExecuteRequest; 0 and 0 where none does."""
    try:
        length, at = _number_at(data, start, len(data), _COMMANDS)
    except IndexError:
        return _NO_SPAN
    if not 2 <= at - start <= _MOST_LENGTH or at + length > len(data):
        return _NO_SPAN
    return at, at + length


def plain_request(data: bytes, kind: int) -> Plain | None:
    """The command of a request by itself, of one of the kinds above; None as above."""
    try:
        return _request_at(data, 0, len(data), kind)
    except IndexError:
        return None


def _command_at(data: bytes, start: int) -> tuple[Plain | None, float, int]:
    if start + 4 > len(data) or data[start] != _COMMANDS:
        return _NO_COMMAND
    size, at = _length_at(data, start + 1)
    end, kind = at + size, data[at]
    size, at = _length_at(data, at + 1)
    request_end = at + size
    allowed = DEFAULT_SECONDS if request_end == end else _allowed_at(data, request_end, end)
    if not allowed or end > len(data):
        return _NO_COMMAND
    return _request_at(data, at, request_end, kind), allowed, end


def _request_at(data: bytes, at: int, end: int, kind: int) -> Plain | None:
    if kind == PLACE_ORDER:
        return _order_at(data, at, end, at_once=True)
    if kind == RESERVE:
        return _order_at(data, at, end, at_once=False)
    if kind == CONFIRM:
        return _confirm_all_at(data, at, end)
    if kind == RELEASE:
        return _release_at(data, at, end)
    if kind == EXTEND_HOLD:
        return _extend_hold_at(data, at, end)
    return None


def _order_at(data: bytes, at: int, end: int, at_once: bool) -> OneLine | PlaceOrder | Reserve | None:
    name = _name_at(data, at, end, _RESERVATION_ID)
    at += 2 + len(name)
    sku, quantity, at = _line_at(data, at)
    if not name or not sku:
        return None
    others = list[Line]()
    while at < end and data[at] == _LINES:
        other, count, at = _line_at(data, at)
        if not other or len(others) == MAX_LINES - 1:
            return None
        others.append(Line(other, count))
    hold_ticks = AT_ONCE
    if not at_once:
        hold_ticks, at = _number_at(data, at, end, _HOLD_TICKS)
        if not 0 <= hold_ticks <= MAX_TICK:
            return None
    if at != end:
        return None
    if not others:
        return OneLine(name, sku, quantity, hold_ticks)
    lines = (Line(sku, quantity), *others)
    return PlaceOrder(name, lines) if at_once else Reserve(name, lines, hold_ticks)


def _line_at(data: bytes, at: int) -> tuple[str, int, int]:
    """Sku and quantity of the line that is the field there, and where it ends; an empty sku where none is."""
    end = at + 2 + data[at + 1]
    sku = _name_at(data, at + 2, end, _SKU)
    quantity, after = _number_at(data, at + 4 + len(sku), end, _QUANTITY)
    if data[at] != _LINES or not 1 <= quantity <= MAX_QUANTITY or after != end:
        return _NO_LINE
    return sku, quantity, end


def _confirm_all_at(data: bytes, at: int, end: int) -> ConfirmAll | None:
    name = _name_at(data, at, end, _RESERVATION_ID)
    term, index, position, at = _token_at(data, at + 2 + len(name), end)
    return ConfirmAll(name, term, index, position) if name and term >= 0 and at == end else None


def _release_at(data: bytes, at: int, end: int) -> Release | None:
    name = _name_at(data, at, end, _RESERVATION_ID)
    at += 2 + len(name)
    if name and at == end:
        return Release(name, None)
    term, index, position, at = _token_at(data, at, end)
    return Release(name, FencingToken(term, index, position)) if name and term >= 0 and at == end else None


def _extend_hold_at(data: bytes, at: int, end: int) -> ExtendHold | None:
    name = _name_at(data, at, end, _RESERVATION_ID)
    term, index, position, at = _token_at(data, at + 2 + len(name), end)
    until_tick, at = _number_at(data, at, end, _UNTIL_TICK)
    if not name or term < 0 or not 0 <= until_tick <= MAX_TICK or at != end:
        return None
    return ExtendHold(name, FencingToken(term, index, position), until_tick)


def _token_at(data: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Term, index and position of the token that is the field there, and where it ends; term -1 where none is."""
    token_end = at + 2 + data[at + 1]
    if data[at] != _TOKEN or token_end > end:
        return _NO_TOKEN
    term, at = _number_at(data, at + 2, token_end, _TERM)
    index, at = _number_at(data, at, token_end, _INDEX)
    position, at = _number_at(data, at, token_end, _POSITION)
    if not (0 <= term <= MAX_TICK and 0 <= index <= MAX_TICK and 0 <= position <= _MAX_POSITION) or at != token_end:
        return _NO_TOKEN
    return term, index, position, at


def _allowed_at(data: bytes, at: int, end: int) -> float:
    """How long a command with this timeout may take here, in seconds; 0 for what is no plain timeout."""
    if at > end or data[at] != _TIMEOUT or at + 2 + data[at + 1] != end:
        return 0.0
    seconds, at = _number_at(data, at + 2, end, _SECONDS)
    nanos, at = _number_at(data, at, end, _NANOS)
    if seconds < 0 or not 0 <= nanos <= _MAX_NANOS or at != end or not (seconds or nanos):
        return 0.0
    return seconds_for(seconds + nanos / 1e9)


def _name_at(data: bytes, at: int, end: int, tag: int) -> str:
    """The id or sku of the field that begins there; empty where none does."""
    length = data[at + 1]
    start, stop = at + 2, at + 2 + length
    if data[at] != tag or not 1 <= length <= MAX_ID or stop > end or not are_id_bytes(data, start, stop):
        return ""
    return data[start:stop].decode("ascii")


def _length_at(data: bytes, at: int) -> tuple[int, int]:
    """The length that stands there, in one byte or two, and where it ends; -1 for a longer one."""
    low, high = data[at], data[at + 1]
    if low < 128:
        return low, at + 1
    return (low & 127 | high << 7, at + 2) if high < 128 else (-1, at)


def _number_at(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """The number of the field that begins there, and where it ends: 0 where none does, -1 for over 63 bits."""
    if at >= end or data[at] != tag:
        return 0, at
    value = shift = 0
    for place in range(at + 1, at + 10):
        byte = data[place]
        if byte < 128:
            return value | byte << shift, place + 1
        value |= (byte & 127) << shift
        shift += 7
    return -1, at
