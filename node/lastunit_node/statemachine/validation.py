"""The limits of every command, checked field by field: the front end names the field, apply answers MALFORMED.

They look at one command alone, never at the state. Types are right already: codec.py sees to that for the log, and
protobuf for requests.
"""

from collections.abc import Callable
from typing import Any, Final

from lastunit_node.statemachine import limits
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Command,
    Configure,
    Confirm,
    ExtendHold,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
    UnitLine,
    UnitRange,
)


class InvalidField(Exception):
    """A field breaks a limit. `field` is its path in the proto's words, such as lines[3].quantity."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def check_command(command: Command) -> None:
    """Raise InvalidField for the first field that breaks a limit."""
    CHECKS[type(command)](command)


def _check_integer(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidField(field, f"must be a whole number from {low} to {high}")


def _check_id(field: str, value: str) -> None:
    if not limits.is_id(value):
        raise InvalidField(field, limits.ID_RULE)


def _check_count(field: str, count: int, low: int, high: int) -> None:
    if not low <= count <= high:
        raise InvalidField(field, f"must have {low} to {high} elements, has {count}")


def _check_lines(lines: tuple[Line, ...], fewest: int = 1) -> None:
    _check_count("lines", len(lines), fewest, limits.MAX_LINES)
    for position, (sku, quantity) in enumerate(lines):
        if not 1 <= quantity <= limits.MAX_QUANTITY:
            raise InvalidField(f"lines[{position}].quantity", f"must be 1 to {limits.MAX_QUANTITY} whole units")
        if not limits.is_id(sku):
            _check_id(f"lines[{position}].sku", sku)


def _check_ranges(field: str, ranges: tuple[UnitRange, ...]) -> None:
    for position, (first, last) in enumerate(ranges):
        _check_integer(f"{field}[{position}].first", first, 1, limits.MAX_UNIT)
        _check_integer(f"{field}[{position}].last", last, first, limits.MAX_UNIT)


def _check_token(token: FencingToken) -> None:
    _check_integer("token.term", token.term, 0, limits.MAX_TICK)
    _check_integer("token.index", token.index, 0, limits.MAX_TICK)
    _check_integer("token.position", token.position, 0, limits.MAX_TICK)


def _check_reserve(command: Reserve) -> None:
    _check_id("reservation_id", command.reservation_id)
    _check_lines(command.lines)
    _check_integer("hold_ticks", command.hold_ticks, 0, limits.MAX_TICK)


def _check_place_order(command: PlaceOrder) -> None:
    _check_id("reservation_id", command.reservation_id)
    _check_lines(command.lines)


def _check_confirm(command: Confirm) -> None:
    _check_id("reservation_id", command.reservation_id)
    _check_token(command.token)
    _check_lines(command.lines, fewest=0)


def _check_release(command: Release) -> None:
    _check_id("reservation_id", command.reservation_id)
    if command.token is not None:
        _check_token(command.token)


def _check_extend_hold(command: ExtendHold) -> None:
    _check_id("reservation_id", command.reservation_id)
    _check_token(command.token)
    _check_integer("until_tick", command.until_tick, 0, limits.MAX_TICK)


def _check_receive_stock(command: ReceiveStock) -> None:
    _check_id("receipt_id", command.receipt_id)
    _check_lines(command.lines)


def _check_adjust_stock(command: AdjustStock) -> None:
    _check_id("adjustment_id", command.adjustment_id)
    _check_id("sku", command.sku)
    _check_integer("quantity", command.quantity, 0, limits.MAX_QUANTITY)
    _check_count("ranges", len(command.ranges), 0, limits.MAX_RANGES)
    if (command.quantity == 0) == (not command.ranges):
        raise InvalidField("quantity", "give either a quantity or ranges, not both and not neither")
    _check_ranges("ranges", command.ranges)
    _check_reason(command.reason)


def _check_reason(reason: str) -> None:
    try:
        size = len(reason.encode())
    except UnicodeEncodeError:
        raise InvalidField("reason", "must be valid Unicode") from None
    if size > limits.MAX_REASON_BYTES:
        raise InvalidField("reason", f"must be at most {limits.MAX_REASON_BYTES} bytes of UTF-8, is {size}")


def _check_return_units(command: ReturnUnits) -> None:
    _check_id("return_id", command.return_id)
    _check_id("reservation_id", command.reservation_id)
    _check_count("lines", len(command.lines), 1, limits.MAX_LINES)
    for position, line in enumerate(command.lines):
        _check_unit_line(f"lines[{position}]", line)
    _check_count("lines", sum(len(line.ranges) for line in command.lines), 1, limits.MAX_RANGES)


def _check_unit_line(field: str, line: UnitLine) -> None:
    _check_id(f"{field}.sku", line.sku)
    _check_count(f"{field}.ranges", len(line.ranges), 1, limits.MAX_RANGES)
    _check_ranges(f"{field}.ranges", line.ranges)


def _check_tick(command: Tick) -> None:
    _check_integer("clock", command.clock, 0, limits.MAX_TICK)


def _check_configure(command: Configure) -> None:
    _check_integer("tick_ms", command.tick_ms, 1, limits.MAX_TICK)
    _check_integer("hold_cap_ticks", command.hold_cap_ticks, 1, limits.MAX_TICK)
    _check_integer("hold_ticks", command.hold_ticks, 1, command.hold_cap_ticks)
    _check_integer("retention_ticks", command.retention_ticks, 1, limits.MAX_TICK)
    _check_integer("sweep_size", command.sweep_size, 1, limits.MAX_SWEEP_SIZE)


def _check_admit(command: Admit) -> None:
    _check_id("node", command.node)
    _check_id("instance", command.instance)
    _check_integer("replaces", command.replaces, 0, limits.MAX_TICK)


CHECKS: Final[dict[type, Callable[[Any], None]]] = {
    Reserve: _check_reserve,
    PlaceOrder: _check_place_order,
    Confirm: _check_confirm,
    Release: _check_release,
    ExtendHold: _check_extend_hold,
    ReceiveStock: _check_receive_stock,
    AdjustStock: _check_adjust_stock,
    ReturnUnits: _check_return_units,
    Tick: _check_tick,
    Configure: _check_configure,
    Admit: _check_admit,
}
