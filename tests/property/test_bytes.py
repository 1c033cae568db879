"""Any bytes at all have an answer, and leave a state that adds up."""

from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.statemachine.shop import Shop

from lastunit_node.statemachine import limits
from lastunit_node.statemachine.brief import AT_ONCE, ConfirmAll, OneLine
from lastunit_node.statemachine.brief_entry import brief_entry
from lastunit_node.statemachine.codec import DecodedEntry, Undecodable, _decode_fields, decode_entry, encode_entry
from lastunit_node.statemachine.commands import Entry, Line, PlaceOrder, Release, Tick
from lastunit_node.statemachine.packing import unpack
from lastunit_node.statemachine.results import Outcome

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(["vase", "o1", msgpack.Timestamp(1, 1), msgpack.ExtType(1, b"")])
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
almost_commands = st.tuples(st.integers(0, 11), st.lists(values, max_size=5)).map(lambda pair: [pair[0], *pair[1]])
almost_entries = st.lists(almost_commands | values, max_size=4).map(
    lambda commands: b"\x02" + msgpack.packb([1, 1 << 40, commands])
)
ids = st.text("abcdefxyzABZ0189._:-", min_size=1, max_size=64)
numbers = st.integers(0, 40) | st.sampled_from(
    [n + d for n in (1 << 7, 1 << 8, 1 << 16, 1 << 32, 1 << 62) for d in (-1, 0)]
)
orders = st.builds(OneLine, ids, ids, st.integers(1, limits.MAX_QUANTITY), st.just(AT_ONCE) | numbers)
confirms = st.builds(ConfirmAll, ids, numbers, numbers, numbers)
brief_entries = st.builds(
    Entry, st.integers(0, (1 << 64) - 1), numbers, st.lists(orders | confirms, min_size=1, max_size=20).map(tuple)
).map(encode_entry)
BRIEF = (OneLine("o1", "vase", 1, AT_ONCE), OneLine("r1", "vase", 2, 3), ConfirmAll("r1", 1, 300, 0))
LARGE = (OneLine("o" * 64, "v" * 33, limits.MAX_QUANTITY, AT_ONCE), *BRIEF) * 100
REAL = encode_entry(Entry(1, 1 << 40, (PlaceOrder("o1", (Line("vase", 1),)), Release("r1", None), Tick(0))))


def answer(data: bytes) -> None:
    shop = Shop()
    shop.receive("delivery", vase=3)
    decoded = decode_entry(data)

    applied = shop.apply_bytes(data)

    if isinstance(decoded, DecodedEntry):
        assert applied.nonce == decoded.nonce
        assert len(applied.results) == len(decoded.commands)
    elif applied.results:
        assert [result.outcome for result in applied.results] == [Outcome.MALFORMED]


@given(st.binary(max_size=200))
@example(b"\x02\xc7\x0c\xff" + b"\xff" * 12)
def test_any_bytes_are_answered(data: bytes) -> None:
    answer(data)


@given(st.binary(max_size=60).map(lambda tail: b"\x02" + tail))
def test_any_bytes_of_the_right_kind_are_answered(data: bytes) -> None:
    answer(data)


@given(almost_entries)
@settings(max_examples=200)
def test_what_looks_like_an_entry_is_answered(data: bytes) -> None:
    answer(data)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255), st.booleans())
def test_an_entry_with_a_wrong_byte_or_cut_short_is_answered(position: int, byte: int, cut: bool) -> None:
    answer(REAL[:position] if cut else REAL[:position] + bytes([byte]) + REAL[position + 1 :])


def found_by_parts(data: bytes) -> object:
    """What the bytes of an entry hold, unpacked first."""
    try:
        return in_full(_decode_fields(unpack(data[1:])))
    except ValueError as error:
        return Undecodable(str(error))


def in_full(decoded: object) -> object:
    """Something that can be compared."""
    if isinstance(decoded, DecodedEntry):
        return decoded.nonce, decoded.valid_until_tick, decoded.commands
    return decoded


@given(brief_entries)
@example(encode_entry(Entry((1 << 64) - 1, limits.MAX_TICK, LARGE)))
def test_an_entry_of_brief_commands_is_read_byte_by_byte(data: bytes) -> None:
    read = brief_entry(data)

    assert read is not None
    assert in_full(DecodedEntry(read[0], read[1], tuple(read[2]))) == found_by_parts(data)


@given(brief_entries, st.data())
@settings(max_examples=500)
def test_bytes_that_are_read_one_by_one_hold_what_their_parts_hold(whole: bytes, draw: st.DataObject) -> None:
    """A byte of another value, one too many or too few, or an end that comes early: whatever is read is the same."""
    at = draw.draw(st.integers(1, len(whole)))
    byte = bytes([draw.draw(st.integers(0, 255))])
    changed = draw.draw(
        st.sampled_from(
            [
                whole[:at] + byte + whole[at + 1 :],
                whole[:at] + byte + whole[at:],
                whole[:at] + whole[at + 1 :],
                whole[:at],
            ]
        )
    )

    assert in_full(decode_entry(changed)) == found_by_parts(changed)


@pytest.mark.parametrize(
    "commands", [BRIEF, *[(command,) for command in BRIEF]], ids=["all", "order", "hold", "confirm"]
)
def test_every_other_value_of_every_byte_is_read_alike(commands: tuple[OneLine | ConfirmAll, ...]) -> None:
    whole = encode_entry(Entry(1, 1 << 40, commands))
    for at in range(1, len(whole)):
        for value in range(256):
            changed = whole[:at] + bytes([value]) + whole[at + 1 :]
            assert in_full(decode_entry(changed)) == found_by_parts(changed), (at, value)


@pytest.mark.parametrize("first", range(256))
def test_a_name_is_read_only_where_text_begins(first: int) -> None:
    """Of the same bytes behind it, another first byte makes bytes, an extension or a number."""
    name = b"a" * 64
    for length in range(65):
        for behind in (bytes([first]), bytes([first, length]), bytes([first, 0, length])):
            data = b"\x02\x93\x01\x02\x91\x93\x02" + behind + name[:length] + b"\x91\x92\xa1x\x01"
            assert in_full(decode_entry(data)) == found_by_parts(data)
