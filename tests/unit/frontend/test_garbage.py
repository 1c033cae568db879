"""What is answered is freed at once: a garbage collection halts all threads, and until it comes, all memory is cold."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from lastunit_node.frontend.batcher import Batcher
from lastunit_node.statemachine.commands import Command

from .batcher_calls import LONG, after, order
from .fakes import turns


class Commands(list[Command]):
    """A list that can be watched."""


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def test_an_answered_batch_is_freed(batcher: Batcher) -> None:
    commands = Commands([order("a")])
    watched = weakref.ref(commands)
    await batcher.run(commands, [after(LONG)], 20)
    del commands
    await turns()
    assert watched() is None
