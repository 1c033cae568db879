"""Orders read off the bytes of an Execute message: the most frequent command, without an object for each part of it.

An order of one line, as clients write it, is found by one regular expression that holds its names to their pattern as
well: 2.0 us, where protobuf's objects and the checks take 3.2 (compiled 1.0 and 2.2; benchmarks/costs). What looks
different in any way, or breaks a limit, is not judged here but left to protobuf and requests.py, which say what is
wrong with it.
"""

import re
from typing import Final

from google.protobuf.duration_pb2 import Duration

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.deadlines import seconds_for
from lastunit_node.frontend.wire import tag
from lastunit_node.statemachine.commands import Line, PlaceOrder
from lastunit_node.statemachine.limits import ID_PATTERN, MAX_QUANTITY

_LENGTH: Final = "[\0-\x7f]"  # of one byte, compared with what follows once that is known
_NUMBER: Final = "([\x80-\xff]{0,4}[\0-\x7f])"
_NAME: Final = f"{_LENGTH}({ID_PATTERN.pattern})"
_ORDER: Final = re.compile(
    "".join([
        re.escape(tag(pb.ExecuteRequest, "commands")) + _LENGTH,
        re.escape(tag(pb.Command, "place_order")) + _LENGTH,
        re.escape(tag(pb.PlaceOrderRequest, "reservation_id")) + _NAME,
        re.escape(tag(pb.PlaceOrderRequest, "lines")) + _LENGTH,
        re.escape(tag(pb.Line, "sku")) + _NAME,
        re.escape(tag(pb.Line, "quantity")) + _NUMBER,
        f"(?:{re.escape(tag(pb.Command, 'timeout'))}({_LENGTH})",
        f"(?:{re.escape(tag(Duration, 'seconds'))}{_NUMBER})?",
        f"(?:{re.escape(tag(Duration, 'nanos'))}{_NUMBER})?)?",
    ]).encode("latin-1")
)  # fmt: skip
_MAX_NANOS: Final = 999_999_999  # more has a meaning of protobuf's own


def order_at(data: bytes, start: int) -> tuple[PlaceOrder, float, int] | None:
    """The order that begins here in an ExecuteRequest, how long it may take here in seconds, and where it ends.

    None for what is not plainly an order within all limits.
    """
    match = _ORDER.match(data, start)
    if match is None:
        return None
    name, sku, digits, timeout, seconds, nanos = match.groups(b"")
    end = match.end()
    line_at = start + 6 + len(name)
    line_end = line_at + 5 + len(sku) + len(digits)
    if (
        data[start + 1] != end - start - 2
        or data[start + 3] != line_end - start - 4
        or data[start + 5] != len(name)
        or data[line_at + 1] != line_end - line_at - 2
        or data[line_at + 3] != len(sku)
        or (timeout[0] != end - line_end - 2 if timeout else end != line_end)
    ):
        return None  # a length says other than what was found
    quantity, billionths = _number(digits), _number(nanos)
    asked = _number(seconds) + billionths / 1e9
    if not 1 <= quantity <= MAX_QUANTITY or billionths > _MAX_NANOS or (timeout and not asked):
        return None
    allowed = seconds_for(asked if timeout else None)
    return PlaceOrder(name.decode(), (Line(sku.decode(), quantity),)), allowed, end


def _number(digits: bytes) -> int:
    value = shift = 0
    for digit in digits:
        value |= (digit & 127) << shift
        shift += 7
    return value
