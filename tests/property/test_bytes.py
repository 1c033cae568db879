"""Any bytes at all have an answer, and leave a state that adds up."""

from typing import Any

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.statemachine.shop import Shop

from lastunit_node.statemachine.codec import DecodedEntry, decode_entry, encode_entry
from lastunit_node.statemachine.commands import Entry, Line, PlaceOrder, Release, Tick
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
