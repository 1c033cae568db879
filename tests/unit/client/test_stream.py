"""Batching: what gathers while messages are in flight goes into the next one; answers come back in portions."""

import asyncio

import pytest

from lastunit.v1 import inventory_pb2
from lastunit_client import AsyncInventoryClient, Line, orders
from lastunit_client.batch import QUEUE_FULL, SILENT, Batch, CommandQueue, Pending
from lastunit_client.deadlines import Deadlines, SilenceTimer
from lastunit_client.failures import Failure
from lastunit_client.limits import (
    MAX_COMMAND_BYTES,
    MAX_COMMANDS,
    MAX_IN_FLIGHT,
    MAX_MESSAGE_BYTES,
    MAX_WAITING,
    PORTION,
)

from .fake_node import ACCEPTED, FakeNode, until


def a_command(name: str = "a") -> bytes:
    return orders.place_order(name, {})


def a_pending(name: str = "a") -> Pending:
    return Pending(a_command(name), 1.0, asyncio.get_running_loop().create_future())


def sizes(node: FakeNode) -> list[int]:
    return [len(message.commands) for message in node.messages]


async def test_commands_called_together_travel_together(client: AsyncInventoryClient, nodes: list[FakeNode]) -> None:
    await asyncio.gather(*(client.place_order({"VASE": 1}) for _ in range(500)))
    assert sizes(nodes[0]) == [500]


async def test_what_gathers_while_messages_are_in_flight_is_one_message(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    gate = asyncio.Event()
    nodes[0].reactions.extend([nodes[0].wait_for(gate)] * MAX_IN_FLIGHT)
    calls = []
    for in_flight in range(MAX_IN_FLIGHT):
        calls.append(asyncio.create_task(client.place_order({"VASE": 1})))
        if in_flight == 0:
            await nodes[0].inbox.get()  # a lone command leaves at once
    for _ in range(5):
        calls += [asyncio.create_task(client.place_order({"VASE": 1})) for _ in range(20)]
        await asyncio.sleep(0)
    gate.set()
    assert all(result.accepted for result in await asyncio.gather(*calls))
    assert sizes(nodes[0])[0] == 1
    assert sum(sizes(nodes[0])) == 100 + MAX_IN_FLIGHT
    assert len(nodes[0].messages) <= 1 + MAX_IN_FLIGHT


async def test_no_message_exceeds_the_number_of_commands(client: AsyncInventoryClient, nodes: list[FakeNode]) -> None:
    results = await asyncio.gather(*(client.place_order({"VASE": 1}) for _ in range(MAX_COMMANDS + 5)))
    assert len({result.request_id for result in results}) == MAX_COMMANDS + 5
    assert sizes(nodes[0]) == [MAX_COMMANDS, 5]


async def test_no_message_exceeds_its_bytes(client: AsyncInventoryClient, nodes: list[FakeNode]) -> None:
    lines = [Line("V" * 60, 1_000_000)] * 100  # about 7 kB
    await asyncio.gather(*(client.place_order(lines) for _ in range(400)))
    assert sum(sizes(nodes[0])) == 400
    assert all(message.ByteSize() <= MAX_MESSAGE_BYTES for message in nodes[0].messages)
    assert len(nodes[0].messages) <= 4


async def test_the_largest_command_fits_into_a_message_alone(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    filler = "V" * (MAX_COMMAND_BYTES - 60)
    await asyncio.gather(*(client.place_order({filler: 1}) for _ in range(3)))
    assert sizes(nodes[0]) == [1, 1, 1]
    assert all(message.ByteSize() <= MAX_MESSAGE_BYTES for message in nodes[0].messages)


async def test_a_command_that_nobody_waits_for_is_not_sent() -> None:
    queue = CommandQueue()
    gone, wanted = a_pending("gone"), a_pending("wanted")
    queue.put(gone)
    queue.put(wanted)
    gone.answer.cancel()
    assert queue.take(0.0).pending == (wanted,)


async def test_a_command_of_a_call_that_has_ended_is_not_sent() -> None:
    queue = CommandQueue()
    late = a_pending()
    queue.put(late)
    assert queue.take(late.deadline).pending == ()
    failure = late.answer.result()
    assert isinstance(failure, Failure)
    assert (failure.definite, failure.retryable, failure.node_failed) == (True, False, False)


async def test_a_full_queue_fails_definitely_and_may_be_tried_again() -> None:
    queue = CommandQueue()
    waiting = [a_pending() for _ in range(MAX_WAITING + 1)]
    for pending in waiting:
        queue.put(pending)
    failure = waiting[-1].answer.result()
    assert isinstance(failure, Failure)
    assert (failure.definite, failure.retryable, failure.node_failed) == (True, True, False)
    assert not waiting[-2].answer.done()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_failure_is_definite_for_what_was_never_sent(sent: bool) -> None:
    pending = a_pending()
    pending.sent = sent
    pending.end(SILENT)
    failure = pending.answer.result()
    assert isinstance(failure, Failure)
    assert failure.definite is not sent


# Portions.


def some_results(answered: int) -> list[bytes]:
    result = inventory_pb2.CommandResult(outcome=ACCEPTED["place_order"])
    return [inventory_pb2.ExecuteResult(result=result).SerializeToString()] * answered


async def test_answers_are_handed_out_in_portions_and_callers_run_in_between() -> None:
    batch = Batch(tuple(a_pending() for _ in range(2 * PORTION + 1)))
    batch.settle(some_results(len(batch.pending)))
    done = []
    for _ in range(3):
        done.append(sum(pending.answer.done() for pending in batch.pending))
        await asyncio.sleep(0)
    assert done == [PORTION, 2 * PORTION, 2 * PORTION + 1]


@pytest.mark.parametrize("answered", [2 * PORTION - 1, 2 * PORTION + 1])
async def test_parts_that_do_not_match_the_commands_answer_none(answered: int) -> None:
    batch = Batch(tuple(a_pending() for _ in range(2 * PORTION)))
    with pytest.raises(ValueError, match="zip"):
        batch.settle(some_results(answered))
    assert not any(pending.answer.done() for pending in batch.pending)


async def test_the_next_commands_leave_before_the_last_answer_is_handed_out(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    async def buyer() -> None:
        for _ in range(2):
            await client.place_order({"VASE": 1})

    gate = asyncio.Event()
    nodes[0].reactions += [nodes[0].answer, nodes[0].wait_for(gate)]
    callers = [asyncio.create_task(buyer()) for _ in range(4 * PORTION)]
    await until(lambda: len(nodes[0].messages) >= 2)
    gate.set()
    await asyncio.gather(*callers)
    assert sizes(nodes[0])[:2] == [4 * PORTION, PORTION]


async def test_a_stream_that_fails_while_answers_are_handed_out_loses_none_of_them(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    async def buyer() -> bool:
        first = await client.place_order({"VASE": 1})
        await client.place_order({"VASE": 1})
        return first.replayed

    nodes[0].reactions.append(nodes[0].answer_and_break)
    replayed = await asyncio.gather(*(buyer() for _ in range(8 * PORTION)))
    assert not any(replayed)
    assert sizes(nodes[0])[0] == 8 * PORTION
    assert nodes[1].messages


# Deadlines.


async def test_a_timer_that_came_late_calls_back_when_there_was_time_to_read() -> None:
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    SilenceTimer(loop.time() - 1.0, called.set)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not called.is_set()
    await asyncio.wait_for(called.wait(), 5.0)


async def test_a_timer_that_comes_in_time_calls_back_at_once() -> None:
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    SilenceTimer(loop.time(), called.set)
    for _ in range(5):
        await asyncio.sleep(0)
    assert called.is_set()


async def test_a_node_is_left_a_moment_however_little_is_left() -> None:
    """None at all would be no timeout, and refused as such."""
    for left in (0.0005, 0.002, 5.0):
        pending = Pending(a_command(), 10.0 + left, asyncio.get_running_loop().create_future())
        request, first_end, last_end = Batch((pending,)).request(1, 10.0, 60.0)
        timeout = inventory_pb2.ExecuteRequest.FromString(request).commands[0].timeout
        assert 0 < timeout.ToTimedelta().total_seconds() < max(left, 0.002)
        assert first_end == last_end == pending.ends_at


async def test_what_waits_is_given_up_at_its_moment_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    begun, waiting = loop.time(), list[Pending]()
    deadlines = Deadlines(lambda: waiting, lambda pending: pending.ends_at)
    for wait in (0.03, 0.0, 0.0301, 0.06):
        waiting.append(Pending(a_command(), begun + 9.0, loop.create_future()))
        waiting[-1].sent, waiting[-1].ends_at = True, begun + wait
        deadlines.watch(begun + wait)
    for pending in waiting:
        assert await pending.answer is SILENT
        assert pending.ends_at <= loop.time() < pending.ends_at + 0.5


async def test_one_timer_serves_all_and_none_is_left_when_nothing_waits() -> None:
    loop = asyncio.get_running_loop()
    timers = loop_timers()
    pendings = [Pending(a_command(), loop.time() + wait, loop.create_future()) for wait in (0.05, 0.02, 100.0)]
    deadlines = Deadlines(lambda: pendings, lambda pending: pending.ends_at)
    for pending in pendings:
        deadlines.watch(pending.ends_at)
        assert loop_timers() == timers + 1
    await asyncio.wait([pending.answer for pending in pendings[:2]])
    assert loop_timers() == timers + 1
    deadlines.close()
    assert loop_timers() == timers

    pendings[2].end(QUEUE_FULL)
    deadlines.watch(loop.time())
    while loop_timers() > timers:
        await asyncio.sleep(0)


def loop_timers() -> int:
    """Timers that will fire, in the running loop."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not timer.cancelled() for timer in scheduled)
