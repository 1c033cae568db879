"""What waits for the log, by itself: its deadlines, and how much of it may wait."""

import pytest

from lastunit_node.frontend.errors import CallError, deadline_exceeded
from lastunit_node.frontend.queue import MAX_QUEUED, WorkQueue
from lastunit_node.frontend.work import Work

from .batcher_calls import order

LATE = deadline_exceeded("DEADLINE", definite=True)


def a_read() -> Work:
    return Work((), (1.0,), 0, 0)


async def test_commands_of_which_all_are_late_are_answered_so() -> None:
    """Whichever comes first, the timer or the next attempt."""
    work = Work((order("a"), order("b")), (1.0, 2.0), 20, 0)
    work.drop_expired(2.0, lambda _work: LATE)
    assert (await work.done).answers == [LATE, LATE]


async def test_a_command_is_late_at_its_deadline_and_no_sooner() -> None:
    work = Work((order("a"), order("b")), (1.0, 2.0), 20, 0)
    work.drop_expired(0.9, lambda _work: LATE)
    assert [command.reservation_id for command in work.portion()] == ["a", "b"]  # type: ignore[union-attr]
    work.drop_expired(1.0, lambda _work: LATE)
    assert [command.reservation_id for command in work.portion()] == ["b"]  # type: ignore[union-attr]
    assert not work.done.done()


async def test_a_late_read_is_an_error() -> None:
    read = a_read()
    read.drop_expired(1.0, lambda _work: LATE)
    with pytest.raises(CallError, match="deadline"):
        await read.done


async def test_reads_are_bounded_as_commands_are() -> None:
    queue = WorkQueue()
    for _ in range(MAX_QUEUED):
        queue.put(a_read())
    with pytest.raises(CallError, match="queue"):
        queue.put(a_read())
    with pytest.raises(CallError, match="queue"):
        queue.put(Work((order("a"),), (1.0,), 20, 0))
    assert len(queue.take_reads()) == MAX_QUEUED
    queue.put(a_read())
