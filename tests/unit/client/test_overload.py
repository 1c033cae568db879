"""More commands than a node takes at once: what waits in here says nothing of the node, unless the node is silent."""

import asyncio
from typing import Any

import pytest

from lastunit.v1 import inventory_pb2
from lastunit_client import AsyncInventoryClient, UnavailableError
from lastunit_client.limits import MAX_COMMAND_BYTES, MAX_IN_FLIGHT

from .fake_node import FakeNode, Reaction, until

FILLER = "V" * (MAX_COMMAND_BYTES - 90)  # a sku of a whole message: one command each


def reply_after(node: FakeNode, seconds: float) -> Reaction:
    """Answer, but no sooner."""

    async def reaction(request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, gate.set)
        return await node.wait_for(gate)(request, context)

    return reaction


def keep_busy(seconds: float) -> None:
    """Let nothing else run on this event loop."""
    clock = asyncio.get_running_loop()
    end = clock.time() + seconds
    while clock.time() < end:
        pass


async def test_a_command_may_wait_for_its_turn_longer_than_for_an_answer(nodes: list[FakeNode]) -> None:
    turns = 12
    nodes[0].reactions.extend([reply_after(nodes[0], 0.1)] * turns)
    async with AsyncInventoryClient([node.endpoint for node in nodes], attempt_timeout=0.6) as client:
        results = await asyncio.gather(*(client.place_order({FILLER: 1}) for _ in range(turns)))
        assert client._calls._pool.pick() == nodes[0].endpoint
    assert not any(result.replayed for result in results)
    assert [len(node.messages) for node in nodes] == [turns, 0, 0]


async def test_a_command_that_waits_behind_a_silent_node_goes_elsewhere_in_time(nodes: list[FakeNode]) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    async with AsyncInventoryClient([node.endpoint for node in nodes]) as client:
        ahead = [asyncio.create_task(client.place_order({FILLER: 1})) for _ in range(MAX_IN_FLIGHT)]
        await nodes[0].inbox.get()
        assert (await client.place_order({FILLER: 1}, timeout=1.0)).accepted
        assert len(nodes[1].messages) == 1
        for call in ahead:
            call.cancel()


async def test_a_command_that_waited_until_its_deadline_was_not_sent_and_says_so(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    gate = asyncio.Event()
    nodes[0].reactions.append(nodes[0].wait_for(gate))
    ahead = [asyncio.create_task(client.place_order({FILLER: 1})) for _ in range(MAX_IN_FLIGHT)]
    await nodes[0].inbox.get()
    with pytest.raises(
        UnavailableError, match="waited in this client until its deadline; nothing was applied"
    ) as caught:
        await client.place_order({FILLER: 1}, timeout=0.1)
    assert caught.value.definite
    gate.set()
    await asyncio.gather(*ahead)
    assert (await client.place_order({"VASE": 1})).accepted
    assert [len(node.messages) for node in nodes] == [MAX_IN_FLIGHT + 1, 0, 0]


async def test_a_client_that_was_too_busy_to_read_an_answer_does_not_blame_the_node(nodes: list[FakeNode]) -> None:
    gate = asyncio.Event()
    nodes[0].reactions.append(nodes[0].wait_for(gate))
    async with AsyncInventoryClient([node.endpoint for node in nodes], attempt_timeout=0.3) as client:
        calls = [asyncio.create_task(client.place_order({FILLER: 1})) for _ in range(MAX_IN_FLIGHT + 1)]
        await until(lambda: not nodes[0].inbox.empty())
        gate.set()
        keep_busy(1.0)  # until after the attempt's end, and after the grace that a message has
        assert not any(result.replayed for result in await asyncio.gather(*calls))
    assert [len(node.messages) for node in nodes] == [len(calls), 0, 0]
    assert nodes[0].streams == 1
