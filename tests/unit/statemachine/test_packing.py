"""Packing on several threads at a time: the Raft thread hashes what the event loop's entries say."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgpack
import pytest

from lastunit_node.statemachine.packing import pack


class Pair(NamedTuple):
    """A value that msgpack's own Packer makes an iterator for, as it does for no plain tuple."""

    first: int
    second: int


class Cycle:
    """Garbage that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@contextmanager
def collections_at_every_chance() -> Iterator[None]:
    """The next object that a collection would look at sets one off."""
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    gc.enable()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def test_a_thread_that_takes_over_in_the_middle_of_a_value_mixes_nothing() -> None:
    value = tuple([Pair(number, number) for number in range(100)])
    mine, theirs = list[bytes](), list[bytes]()

    def let_another_take_over(_: object) -> None:
        another = threading.Thread(target=lambda: theirs.append(pack("theirs")))
        another.start()
        another.join()

    gc.disable()
    garbage = Cycle()
    told = weakref.ref(garbage, let_another_take_over)
    del garbage
    with collections_at_every_chance():
        mine.append(pack(value))
    gc.collect()
    assert told() is None
    assert theirs == [msgpack.packb("theirs")]
    assert mine == [msgpack.packb(value)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        *((1 << bits) + step for bits in (0, 5, 7, 8, 15, 16, 31, 32, 62, 63) for step in (-1, 0)),
        *(step - (1 << bits) for bits in (0, 5, 7, 8, 15, 16, 31, 32, 62, 63) for step in (0, 1)),
        (1 << 64) - 1,
        *(letter * length for letter in ("a", "ü") for length in (0, 1, 31, 32, 255, 256, 65_535, 65_536)),
        *(b"\xff" * length for length in (0, 1, 31, 32, 255, 256, 65_535, 65_536)),
        *((7,) * length for length in (0, 1, 15, 16, 65_535, 65_536)),
        Pair(1, -1),
        [Pair(1, 2), ("sku", None, b"x", (True, False))],
        {"voter": "n1", "term": 3},
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]}",
)
def test_what_is_written_is_what_msgpack_writes(value: object) -> None:
    """Journals and digests are made of these bytes: another library, or a later version of it, must write the same."""
    assert pack(value) == msgpack.packb(value)


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1, "\ud800", object()])
def test_what_has_no_bytes_is_a_bug(value: object) -> None:
    with pytest.raises((OverflowError, TypeError, UnicodeEncodeError)):
        pack(value)
