"""Batching: what gathers while messages are in flight goes into the next one."""

import asyncio

import pytest

from lastunit.v1 import inventory_pb2
from lastunit_client import AsyncInventoryClient, Line
from lastunit_client.batch import CommandQueue, Pending
from lastunit_client.failures import Failure
from lastunit_client.limits import MAX_COMMAND_BYTES, MAX_COMMANDS, MAX_IN_FLIGHT, MAX_MESSAGE_BYTES, MAX_WAITING

from .fake_node import FakeNode


def a_command(name: str = "a") -> inventory_pb2.Command:
    return inventory_pb2.Command(place_order=inventory_pb2.PlaceOrderRequest(reservation_id=name))


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
    gone, wanted = Pending(a_command("gone"), 1.0), Pending(a_command("wanted"), 1.0)
    queue.put(gone)
    queue.put(wanted)
    gone.answer.cancel()
    assert queue.take().pending == (wanted,)


async def test_a_full_queue_fails_definitely_and_may_be_tried_again() -> None:
    queue = CommandQueue()
    command = a_command()
    waiting = [Pending(command, 1.0) for _ in range(MAX_WAITING + 1)]
    for pending in waiting:
        queue.put(pending)
    failure = waiting[-1].answer.result()
    assert isinstance(failure, Failure)
    assert (failure.definite, failure.retryable, failure.node_failed) == (True, True, False)
    assert not waiting[-2].answer.done()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_failure_is_definite_for_what_was_never_sent(sent: bool) -> None:
    pending = Pending(a_command(), 1.0)
    pending.sent = sent
    pending.give_up()
    failure = pending.answer.result()
    assert isinstance(failure, Failure)
    assert failure.definite is not sent
