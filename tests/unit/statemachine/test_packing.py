"""Packing on several threads at a time: the Raft thread hashes what the event loop's entries say."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgpack

from lastunit_node.statemachine.packing import pack


class Pair(NamedTuple):
    """A value that msgpack makes an iterator for, as it does for no plain tuple."""

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
