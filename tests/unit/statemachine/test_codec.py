"""Entry bytes: what was encoded is decoded; what is no entry is a value, and an answer."""

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from lastunit_node.statemachine import limits
from lastunit_node.statemachine.codec import (
    COMMAND_TYPES,
    NO_OP,
    DecodedEntry,
    Malformed,
    NoOp,
    Undecodable,
    decode_entry,
    encode_entry,
)
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Command,
    Configure,
    Confirm,
    Entry,
    ExtendHold,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
)
from lastunit_node.statemachine.results import Applied, Outcome, Result

from .shop import ELSEWHERE, TERM, Shop, lines, ranges, units

ALL: tuple[Command, ...] = (
    Reserve("r1", lines({"vase": 1, "bowl": 2}), 3),
    PlaceOrder("o1", lines({"vase": 1_000_000})),
    Confirm("r1", ELSEWHERE, lines({"vase": 1})),
    Release("r1", ELSEWHERE),
    Release("r2", None),
    ExtendHold("r1", ELSEWHERE, limits.MAX_TICK),
    ReceiveStock("truck", lines({"vase": 1})),
    AdjustStock("a1", "vase", 0, ranges((1, 2), (4, 4)), "verkratzt … zurück"),
    ReturnUnits("b1", "o1", units("vase", (1, 2))),
    Tick(17),
    Configure(100, 6_000, 36_000, 864_000, 500),
    Admit("n1", "0f3c", 17),
)

ORDER = [2, "o1", [["vase", 1]]]


def raw(*fields: object) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return b"\x02" + packed


@pytest.mark.parametrize("nonce", [0, 1, -(1 << 63), (1 << 64) - 1])
def test_an_entry_comes_back_as_it_was(nonce: int) -> None:
    decoded = decode_entry(encode_entry(Entry(nonce, 42, ALL)))

    assert isinstance(decoded, DecodedEntry)
    assert (decoded.nonce, decoded.valid_until_tick, decoded.commands) == (nonce, 42, ALL)


def test_the_bytes_of_an_entry_are_pinned() -> None:
    """They are in every journal: a change here needs a new kind byte."""
    entry = Entry(5, 9, (PlaceOrder("o1", lines({"vase": 2})), Release("r1", None), Tick(3)))

    assert encode_entry(entry).hex() == "02930509939302a26f319192a4766173650293 04a27231c0920903".replace(" ", "")


def test_a_barrier_is_an_entry_without_commands(shop: Shop) -> None:
    applied = shop.apply_bytes(encode_entry(Entry(77, 0, ())))

    assert applied == Applied(shop.machine.applied_index, TERM, 77, ())


def test_a_no_op_answers_nothing(shop: Shop) -> None:
    assert decode_entry(NO_OP) == NoOp()
    assert shop.apply_bytes(NO_OP) == Applied(shop.machine.applied_index, TERM, 0, ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x02",
        b"\x03" + encode_entry(Entry(1, 1, ()))[1:],
        NO_OP + b"\x00",
        encode_entry(Entry(1, 1, ALL))[:-1],
        encode_entry(Entry(1, 1, ALL)) + b"\x00",
        b"\x02\xc1",
        b"\x02" + b"\x91" * 5_000,
        b"\x02\xdd\xff\xff\xff\xff",
        raw(1, 1),
        raw(1, 1, [], []),
        raw("1", 1, []),
        raw(True, 1, []),
        raw(1, 1.0, []),
        raw(1, -1, []),
        raw(1, limits.MAX_TICK + 1, []),
        raw(1, 1, {}),
        raw(1, 1, None),
        raw(1, 1, [[9, 0]] * (limits.MAX_COMMANDS + 1)),
        raw(1, 1, [ORDER] * (limits.MAX_COMMANDS + 1)),
        raw(ORDER, ORDER, ORDER),
        raw(1, 1, [ORDER], []),
        raw(1, 1, [ORDER]) + b"\x00",
        b"\x02\x93\x01\x01\xa0" + 16 * msgpack.packb(ORDER),  # text, of which they would be the 16 elements of a list
        b"\x02\x93\x01\x01\x91\x81\x80\x00",  # a map whose key is a map
        raw(1, 1, ["x" * limits.MAX_ENTRY_BYTES]),
    ],
)
def test_bytes_that_are_no_entry_are_answered_malformed(shop: Shop, data: bytes) -> None:
    applied = shop.apply_bytes(data)

    assert isinstance(decode_entry(data), Undecodable)
    assert applied == Applied(applied.index, TERM, 0, (Result(Outcome.MALFORMED, applied.index),))


@pytest.mark.parametrize(
    "command",
    [
        None,
        5,
        [],
        {},
        [0],
        [99, "o1"],
        [True, "o1", [["vase", 1]]],
        ["2", "o1", [["vase", 1]]],
        [[2], "o1", [["vase", 1]]],
        [2, "o1"],
        [*ORDER, 0],
        [1, "r1", [["vase", 1]]],
        [1, "r1", [["vase", 1]], 0, 0],
        [2, 7, [["vase", 1]]],
        [2, b"o1", [["vase", 1]]],
        [2, "o1", None],
        [2, "o1", "vase"],
        [2, "o1", {"vase": 1}],
        [2, "o1", [["vase"]]],
        [2, "o1", [["vase", 1, 1]]],
        [2, "o1", ["ab"]],
        [2, "o1", [["vase", 1.0]]],
        [2, "o1", [["vase", "1"]]],
        [2, "o1", [["vase", None]]],
        [2, "o1", [[["vase"], 1]]],
        [3, "r1", None, []],
        [3, "r1", [1, 1], []],
        [3, "r1", [1, 1, None], []],
        [3, "r1", [1, 1, 1]],
        [3, "r1", [1, 1, 1], [], 0],
        [3, "r1", [1, 1, 1, 1], []],
        [4, "r1", 0],
        [5, "r1", [1, 1, 1], None],
        [7, "a1", "vase", 0, [[1]], ""],
        [7, "a1", "vase", 1, [], b"bytes"],
        [8, "b1", "o1", [["vase", [1, 2]]]],
        [9, "0"],
        [9, 1 << 63],
        [10, 1, 1, 1, 1],
        msgpack.ExtType(5, b"x"),
        msgpack.Timestamp(0, 0),
    ],
)
def test_a_command_of_another_shape_is_malformed_and_alone_in_it(shop: Shop, command: object) -> None:
    data = raw(1, 1 << 40, [[2, "before", [["vase", 1]]], command, [2, "after", [["vase", 1]]]])

    decoded = decode_entry(data)
    before, result, after = shop.apply_bytes(data).results

    assert isinstance(decoded, DecodedEntry)
    assert isinstance(decoded.commands[1], Malformed)
    assert result == Result(Outcome.MALFORMED, shop.machine.applied_index)
    assert before.outcome is after.outcome is Outcome.ORDER_PLACED


def leaves(value: Any, *path: int) -> Iterator[tuple[int, ...]]:
    """Where the integers and strings in nested lists are."""
    if isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from leaves(inner, *path, position)
    else:
        yield path


def replaced(value: Any, path: tuple[int, ...], by: object) -> Any:
    """The same nested lists with another leaf."""
    if not path:
        return by
    return [replaced(inner, path[1:], by) if at == path[0] else inner for at, inner in enumerate(value)]


@pytest.mark.parametrize("command", ALL, ids=lambda command: type(command).__name__)
def test_a_field_of_another_type_is_malformed_wherever_it_stands(shop: Shop, command: Command) -> None:
    shape = (COMMAND_TYPES[type(command)], *command)
    others: tuple[object, ...] = (True, 1.0, None, b"bytes", [], {}, msgpack.Timestamp(0, 0))
    for path in leaves(shape):
        for wrong in others:
            if wrong is None and command == Release("r2", None) and path == (2,):
                continue  # which is how a token is left out
            data = raw(1, 1 << 40, [replaced(shape, path, wrong)])
            assert [result.outcome for result in shop.apply_bytes(data).results] == [Outcome.MALFORMED], (path, wrong)
