"""The bytes of an entry of brief commands, read one by one: without a list for each part of each command.

Most entries hold nothing but orders of one line, or confirms of everything. Compiled, such an order takes 0.6 us so,
where unpacking and checking the parts take 1.0 (make bench-costs, two cores of an AMD EPYC). What looks different in
any way, or breaks a limit, is not judged here but left to codec.py, which finds the same in the bytes that are read
here (property/test_bytes.py).
"""

from typing import Final

from lastunit_node.statemachine.brief import AT_ONCE, Brief, ConfirmAll, OneLine
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_ID, MAX_QUANTITY, MAX_TICK, are_id_bytes

PLACE_ORDER: Final[int] = 2  # as in codec.COMMAND_TYPES
RESERVE: Final[int] = 1
CONFIRM: Final[int] = 3

BriefEntry = tuple[int, int, list[Brief]]  # nonce, valid_until_tick, commands

# msgpack's first bytes, https://github.com/msgpack/msgpack/blob/master/spec.md
_MAX_FIXINT: Final = 0x7F
_FIXARRAY: Final = 0x90
_FIXSTR: Final = 0xA0
_LAST_FIXSTR: Final = 0xBF
_UINT8: Final = 0xCC
_UINT64: Final = 0xCF
_STR8: Final = 0xD9
_ARRAY16: Final = 0xDC

_NO_NUMBER: Final = (-1, 0)
_NO_NAME: Final = ("", 0)
_NO_COMMAND: Final = (None, 0)


def brief_entry(data: bytes) -> BriefEntry | None:
    """The entry in these bytes, which begin with its kind; None for what is not plainly one of brief commands."""
    try:
        return _entry(data)
    except IndexError:  # something is cut off
        return None


def _entry(data: bytes) -> BriefEntry | None:
    if data[1] != _FIXARRAY | 3:
        return None
    nonce, at = _number_at(data, 2)
    valid_until_tick, at = _number_at(data, at)
    if nonce < 0 or not 0 <= valid_until_tick <= MAX_TICK:
        return None
    count, at = _count_at(data, at)
    if not 1 <= count <= MAX_COMMANDS:
        return None
    commands = list[Brief]()
    for _ in range(count):
        command, at = _command_at(data, at)
        if command is None:
            return None
        commands.append(command)
    return (nonce, valid_until_tick, commands) if at == len(data) else None


def _command_at(data: bytes, at: int) -> tuple[Brief | None, int]:
    """The command that begins there, and where it ends."""
    fields, kind = data[at], data[at + 1]
    if kind == PLACE_ORDER and fields == _FIXARRAY | 3:
        return _one_line_at(data, at + 2, at_once=True)
    if kind == RESERVE and fields == _FIXARRAY | 4:
        return _one_line_at(data, at + 2, at_once=False)
    if kind == CONFIRM and fields == _FIXARRAY | 4:
        return _confirm_all_at(data, at + 2)
    return _NO_COMMAND


def _one_line_at(data: bytes, at: int, at_once: bool) -> tuple[Brief | None, int]:
    name, at = _name_at(data, at)
    if not name or data[at] != _FIXARRAY | 1 or data[at + 1] != _FIXARRAY | 2:
        return _NO_COMMAND
    sku, at = _name_at(data, at + 2)
    if not sku:
        return _NO_COMMAND
    quantity, at = _number_at(data, at)
    hold_ticks = AT_ONCE
    if not at_once:
        hold_ticks, at = _number_at(data, at)
        if not 0 <= hold_ticks <= MAX_TICK:
            return _NO_COMMAND
    return (OneLine(name, sku, quantity, hold_ticks), at) if 1 <= quantity <= MAX_QUANTITY else _NO_COMMAND


def _confirm_all_at(data: bytes, at: int) -> tuple[Brief | None, int]:
    name, at = _name_at(data, at)
    if not name or data[at] != _FIXARRAY | 3:
        return _NO_COMMAND
    term, at = _number_at(data, at + 1)
    index, at = _number_at(data, at)
    position, at = _number_at(data, at)
    if not (0 <= term <= MAX_TICK and 0 <= index <= MAX_TICK and 0 <= position <= MAX_TICK) or data[at] != _FIXARRAY:
        return _NO_COMMAND
    return ConfirmAll(name, term, index, position), at + 1


def _name_at(data: bytes, at: int) -> tuple[str, int]:
    """The id or sku that begins there, and where it ends; an empty one where none does."""
    first = data[at]
    if first == _STR8:
        length, at = data[at + 1], at + 2
    elif _FIXSTR <= first <= _LAST_FIXSTR:
        length, at = first - _FIXSTR, at + 1
    else:
        return _NO_NAME
    end = at + length
    if not 1 <= length <= MAX_ID or not are_id_bytes(data, at, end):
        return _NO_NAME
    return data[at:end].decode("ascii"), end


def _count_at(data: bytes, at: int) -> tuple[int, int]:
    """How many elements the array has that begins there, and where the first one does; -1 where none begins."""
    first = data[at]
    if first == _ARRAY16:
        return data[at + 1] << 8 | data[at + 2], at + 3
    return (first - _FIXARRAY, at + 1) if _FIXARRAY <= first < _FIXSTR else _NO_NUMBER


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends; -1 where none does that is whole and not negative."""
    first = data[at]
    if first <= _MAX_FIXINT:
        return first, at + 1
    if not _UINT8 <= first <= _UINT64:
        return _NO_NUMBER
    end = at + 1 + (1 << first - _UINT8)
    value = 0
    for place in range(at + 1, end):
        value = value << 8 | data[place]
    return value, end
