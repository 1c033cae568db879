"""The bytes of a log entry: encode_entry for the proposer, decode_entry for apply.

The first byte is the kind. 0x01, alone: Raft's own no-op of a new leader. 0x02: an Entry as msgpack,
[nonce, valid_until_tick, [[command type, field, ...], ...]]. Anything else, and anything longer than
MAX_ENTRY_BYTES, is Undecodable: a value, because apply answers to all bytes. A command that has a wrong shape or
breaks a limit is Malformed and spoils only its own position. Every field's type is looked at before a command is made
of it: compiled code takes no value of another type than is declared, and would stop the node where apply must answer.

The numbers of the command types are in every journal: they are never changed and never reused.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lastunit_node.statemachine import limits
from lastunit_node.statemachine.brief import AT_ONCE, Brief, ConfirmAll, OneLine, full
from lastunit_node.statemachine.brief_entry import CONFIRM, PLACE_ORDER, RESERVE, brief_entry
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Command,
    Configure,
    Confirm,
    Entry,
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
from lastunit_node.statemachine.packing import pack, unpack
from lastunit_node.statemachine.validation import CHECKS, InvalidField

Raw = tuple[Any, ...]  # a command as it is unpacked: the number of its type, its fields

NO_OP: Final = b"\x01"
_ENTRY: Final = b"\x02"

COMMAND_TYPES: Final[dict[type, int]] = {
    Reserve: RESERVE,
    PlaceOrder: PLACE_ORDER,
    Confirm: CONFIRM,
    Release: 4,
    ExtendHold: 5,
    ReceiveStock: 6,
    AdjustStock: 7,
    ReturnUnits: 8,
    Tick: 9,
    Configure: 10,
    Admit: 11,
}


class NoOp(NamedTuple):
    """Raft's own entry of a new leader: no commands, no nonce."""


class Undecodable(NamedTuple):
    """Bytes that are no entry."""

    problem: str


class Malformed(NamedTuple):
    """A command that has a wrong shape or breaks a limit."""

    problem: str


class DecodedEntry:
    """An Entry as found in the log, its commands checked one by one, in brief where they have such a form."""

    __slots__ = ("in_brief", "nonce", "valid_until_tick")

    def __init__(self, nonce: int, valid_until_tick: int, in_brief: tuple[Command | Brief | Malformed, ...]) -> None:
        self.nonce = nonce
        self.valid_until_tick = valid_until_tick
        self.in_brief = in_brief

    @property
    def commands(self) -> tuple[Command | Malformed, ...]:
        """The same in full."""
        return tuple([each if isinstance(each, Malformed) else full(each) for each in self.in_brief])


def encode_entry(entry: Entry) -> bytes:
    """Bytes for the log. The commands are to have passed check_command."""
    commands = [_encode_command(command) for command in entry.commands]
    return _ENTRY + pack((entry.nonce, entry.valid_until_tick, commands))


def _encode_command(command: Command | Brief) -> Raw:
    if isinstance(command, OneLine):
        lines = ((command.sku, command.quantity),)
        if command.hold_ticks == AT_ONCE:
            return PLACE_ORDER, command.reservation_id, lines
        return RESERVE, command.reservation_id, lines, command.hold_ticks
    if isinstance(command, ConfirmAll):
        return CONFIRM, command.reservation_id, (command.term, command.index, command.position), ()
    return COMMAND_TYPES[type(command)], *command


def decode_entry(data: bytes) -> DecodedEntry | NoOp | Undecodable:
    """The entry in any bytes. Never raises."""
    if data == NO_OP:
        return NoOp()
    if data[:1] != _ENTRY or len(data) > limits.MAX_ENTRY_BYTES:
        return Undecodable("no entry of a known kind and size")
    brief = brief_entry(data)
    if brief is not None:
        nonce, valid_until_tick, commands = brief
        return DecodedEntry(nonce, valid_until_tick, tuple(commands))
    try:
        return _decode_fields(unpack(data[1:]))
    except ValueError as error:
        return Undecodable(str(error))


def _decode_fields(fields: object) -> DecodedEntry | Undecodable:
    if type(fields) is not tuple or len(fields) != 3:
        return Undecodable("an entry has three fields")
    nonce, valid_until_tick, commands = fields
    if type(nonce) is not int or type(valid_until_tick) is not int or not 0 <= valid_until_tick <= limits.MAX_TICK:
        return Undecodable("nonce and valid_until_tick are whole numbers")
    if type(commands) is not tuple or len(commands) > limits.MAX_COMMANDS:
        return Undecodable(f"an entry has at most {limits.MAX_COMMANDS} commands")
    return DecodedEntry(nonce, valid_until_tick, tuple([_decode_command(raw) for raw in commands]))


def _decode_command(raw: object) -> Command | Brief | Malformed:
    if type(raw) is not tuple or not raw or type(raw[0]) is not int or raw[0] not in _SHAPES:
        return Malformed("command: has no known type")
    brief = _decode_brief(raw)
    if brief is not None:
        return brief
    shape = _SHAPES[raw[0]]
    if len(raw) != shape.size:
        return Malformed(f"command: has {shape.size - 1} fields")
    try:
        command = shape.build(raw)
        shape.check(command)
    except InvalidField as error:
        return Malformed(str(error))
    return command


def _decode_brief(raw: Raw) -> Brief | None:
    """A command that has a brief form and is within all limits; None for any other."""
    kind = raw[0]
    if kind == PLACE_ORDER:
        return _one_line(raw[1], raw[2], AT_ONCE) if len(raw) == 3 else None
    if kind == RESERVE:
        if len(raw) != 4 or type(raw[3]) is not int or not 0 <= raw[3] <= limits.MAX_TICK:
            return None
        return _one_line(raw[1], raw[2], raw[3])
    if kind == CONFIRM and len(raw) == 4 and raw[3] == ():
        return _confirm_all(raw[1], raw[2])
    return None


def _one_line(reservation_id: object, lines: object, hold_ticks: int) -> OneLine | None:
    if type(reservation_id) is not str or type(lines) is not tuple or len(lines) != 1:
        return None
    line = lines[0]
    if type(line) is not tuple or len(line) != 2 or type(line[0]) is not str or type(line[1]) is not int:
        return None
    if not 1 <= line[1] <= limits.MAX_QUANTITY or not limits.is_id(reservation_id) or not limits.is_id(line[0]):
        return None
    return OneLine(reservation_id, line[0], line[1], hold_ticks)


def _confirm_all(reservation_id: object, token: object) -> ConfirmAll | None:
    if type(reservation_id) is not str or type(token) is not tuple or len(token) != 3:
        return None
    if not limits.is_id(reservation_id):
        return None
    for part in token:
        if type(part) is not int or not 0 <= part <= limits.MAX_TICK:
            return None
    return ConfirmAll(reservation_id, token[0], token[1], token[2])


def _text(field: str, value: object) -> str:
    if type(value) is not str:
        raise InvalidField(field, "must be text")
    return value


def _integer(field: str, value: object) -> int:
    if type(value) is not int:  # a bool is none
        raise InvalidField(field, "must be a whole number")
    return value


def _tuples(field: str, value: object, size: int) -> tuple[Any, ...]:
    """Value as a tuple of tuples of this size, or InvalidField."""
    if type(value) is not tuple:
        raise InvalidField(field, "must be a list")
    for element in value:
        if type(element) is not tuple or len(element) != size:
            raise InvalidField(field, f"must hold lists of {size}")
    return value


def _lines(value: object) -> tuple[Line, ...]:
    raw = _tuples("lines", value, 2)
    if len(raw) == 1:  # most orders have one
        return (_line(raw[0]),)
    return tuple([_line(each) for each in raw])


def _line(raw: Raw) -> Line:
    return Line(_text("lines.sku", raw[0]), _integer("lines.quantity", raw[1]))


def _ranges(value: object) -> tuple[UnitRange, ...]:
    raw = _tuples("ranges", value, 2)
    return tuple([UnitRange(_integer("ranges.first", each[0]), _integer("ranges.last", each[1])) for each in raw])


def _unit_lines(value: object) -> tuple[UnitLine, ...]:
    raw = _tuples("lines", value, 2)
    return tuple([UnitLine(_text("lines.sku", each[0]), _ranges(each[1])) for each in raw])


def _token(value: object) -> FencingToken:
    if type(value) is not tuple or len(value) != 3:
        raise InvalidField("token", "must be term, index and position")
    return FencingToken(
        _integer("token.term", value[0]), _integer("token.index", value[1]), _integer("token.position", value[2])
    )


def _reserve(raw: Raw) -> Reserve:
    return Reserve(_text("reservation_id", raw[1]), _lines(raw[2]), _integer("hold_ticks", raw[3]))


def _place_order(raw: Raw) -> PlaceOrder:
    return PlaceOrder(_text("reservation_id", raw[1]), _lines(raw[2]))


def _confirm(raw: Raw) -> Confirm:
    return Confirm(_text("reservation_id", raw[1]), _token(raw[2]), _lines(raw[3]))


def _release(raw: Raw) -> Release:
    return Release(_text("reservation_id", raw[1]), None if raw[2] is None else _token(raw[2]))


def _extend_hold(raw: Raw) -> ExtendHold:
    return ExtendHold(_text("reservation_id", raw[1]), _token(raw[2]), _integer("until_tick", raw[3]))


def _receive_stock(raw: Raw) -> ReceiveStock:
    return ReceiveStock(_text("receipt_id", raw[1]), _lines(raw[2]))


def _adjust_stock(raw: Raw) -> AdjustStock:
    return AdjustStock(
        _text("adjustment_id", raw[1]),
        _text("sku", raw[2]),
        _integer("quantity", raw[3]),
        _ranges(raw[4]),
        _text("reason", raw[5]),
    )


def _return_units(raw: Raw) -> ReturnUnits:
    return ReturnUnits(_text("return_id", raw[1]), _text("reservation_id", raw[2]), _unit_lines(raw[3]))


def _tick(raw: Raw) -> Tick:
    return Tick(_integer("clock", raw[1]))


def _configure(raw: Raw) -> Configure:
    tick_ms, hold_ticks, hold_cap_ticks, retention_ticks, sweep_size = [
        _integer("parameters", each) for each in raw[1:]
    ]
    return Configure(tick_ms, hold_ticks, hold_cap_ticks, retention_ticks, sweep_size)


def _admit(raw: Raw) -> Admit:
    return Admit(_text("node", raw[1]), _text("instance", raw[2]), _integer("replaces", raw[3]))


_BUILDERS: Final[dict[type, Callable[[Raw], Command]]] = {
    Reserve: _reserve,
    PlaceOrder: _place_order,
    Confirm: _confirm,
    Release: _release,
    ExtendHold: _extend_hold,
    ReceiveStock: _receive_stock,
    AdjustStock: _adjust_stock,
    ReturnUnits: _return_units,
    Tick: _tick,
    Configure: _configure,
    Admit: _admit,
}


class _Shape:
    """How a command of one type is read: its fields with the type's number before them, made into one, checked."""

    __slots__ = ("build", "check", "size")

    def __init__(self, kind: type, build: Callable[[Raw], Command]) -> None:
        self.size = 1 + len(kind.__annotations__)  # as many as it has fields
        self.build = build
        self.check = CHECKS[kind]


_SHAPES: Final = {COMMAND_TYPES[kind]: _Shape(kind, build) for kind, build in _BUILDERS.items()}
