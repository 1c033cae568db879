"""Canonical encodings: one value, one byte string. For comparing bodies, remembering answers, and hashing.

A *request* is the body of a command without its id, lines summed and sorted, ranges normalised: two commands under
one id are the same exactly if their requests are equal bytes. An *answer* is a Result without what may differ on a
replay (`replayed` and the present `reservation`).
"""

from collections.abc import Sequence
from typing import Any, Final

from lastunit_node.statemachine.codec import COMMAND_TYPES
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Confirm,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    UnitLine,
    UnitRange,
)
from lastunit_node.statemachine.packing import pack, unpack
from lastunit_node.statemachine.ranges import join_unit_lines, normalise, sum_lines
from lastunit_node.statemachine.results import Answer, Outcome, Result, Served, Shortage

_ANSWER_FIELDS: Final = 6  # outcome to shortages
_PLACE_ORDER: Final = COMMAND_TYPES[PlaceOrder]
_RESERVE: Final = COMMAND_TYPES[Reserve]
_RESULT_FIELDS: Final = 7  # outcome to replayed


def _request(command_type: type, *fields: object) -> bytes:
    return pack((COMMAND_TYPES[command_type], *fields))


def reserve_request(lines: tuple[tuple[str, int], ...], hold_ticks: int) -> bytes:
    """Request of a Reserve whose lines are summed already."""
    return pack((_RESERVE, lines, hold_ticks))


def place_order_request(lines: tuple[tuple[str, int], ...]) -> bytes:
    """Request of a PlaceOrder whose lines are summed already."""
    return pack((_PLACE_ORDER, lines))


def ordered_lines(request: bytes | None) -> tuple[Line, ...]:
    """The lines in the request of a Reserve or PlaceOrder; none for an id that was released before it was used."""
    if request is None:
        return ()
    return tuple([Line(sku, quantity) for sku, quantity in unpack(request)[1]])


def confirm_request(token: FencingToken, lines: tuple[Line, ...]) -> bytes:
    """Request of a Confirm; `lines` are summed, and all lines of the reservation where the command names none."""
    return _request(Confirm, token, lines)


def release_request(command: Release) -> bytes:
    """Request of a Release."""
    return _request(Release, command.token)


def receive_request(command: ReceiveStock) -> bytes:
    """Request of a ReceiveStock."""
    return _request(ReceiveStock, sum_lines(command.lines))


def adjust_request(command: AdjustStock) -> bytes:
    """Request of an AdjustStock."""
    return _request(AdjustStock, command.sku, command.quantity, normalise(command.ranges), command.reason)


def return_request(command: ReturnUnits) -> bytes:
    """Request of a ReturnUnits."""
    return _request(ReturnUnits, command.reservation_id, join_unit_lines(command.lines))


def encode_answer(result: Result) -> bytes:
    """What is remembered of a first result."""
    return pack(result[:_ANSWER_FIELDS])


def decode_answer(answer: bytes) -> Result:
    """The first result again, marked as replayed."""
    outcome, index, token, expires_at_tick, units, shortages = unpack(answer)
    return Result(
        Outcome(outcome),
        index,
        None if token is None else FencingToken(*token),
        expires_at_tick,
        unit_lines(units),
        tuple([Shortage(*shortage) for shortage in shortages]),
        replayed=True,
    )


def unit_lines(raw: Any) -> tuple[UnitLine, ...]:
    """Unit lines of decoded lists."""
    return tuple([UnitLine(sku, tuple([UnitRange(first, last) for first, last in ranges])) for sku, ranges in raw])


def encode_answers(answers: Sequence[Answer]) -> bytes:
    """What an entry's commands were answered, for the hash chain; the digest covers the reservations beside them.

    A list with a tuple for each Result, and six values one after the other for each Served, which has no list of its
    own: most answers are such. An answer has its log position beside it in the chain.
    """
    values: list[object] = []
    for each in answers:
        if isinstance(each, Served):
            values.append(int(each.outcome))
            values.append(each.at.position)
            values.append(each.expires_at_tick)
            values.append(each.sku)
            values.append(each.first)
            values.append(each.last)
        else:
            values.append(each[:_RESULT_FIELDS])
    return pack(values)
