"""AsyncInventoryClient.close(): whoever is cancelled meanwhile, nothing stays open."""

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import grpc
import pytest

from lastunit_client import AsyncInventoryClient

from .fake_node import FakeNode, NodeThread, until


def channels(client: AsyncInventoryClient) -> list[grpc.aio.Channel]:
    return [node._channel for node in client._calls._nodes.values()]


def are_closed(opened: list[grpc.aio.Channel]) -> bool:
    return all(channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN for channel in opened)


def cancel_all_others() -> None:
    """As asyncio.run() does at its end."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def used(host: NodeThread) -> tuple[AsyncInventoryClient, list[grpc.aio.Channel]]:
    """A client with a connection, and that."""
    client = AsyncInventoryClient([host.node.endpoint], timeout=5.0)
    await client.place_order({"VASE": 1})
    return client, channels(client)


async def test_close_is_not_cancelled_by_the_cancellation_of_others(host: NodeThread) -> None:
    client, opened = await used(host)
    cancel_all_others()
    await asyncio.sleep(0)
    await client.close()
    assert are_closed(opened)


async def test_a_client_whose_tasks_were_cancelled_goes_on(host: NodeThread) -> None:
    client, _ = await used(host)
    cancel_all_others()
    assert (await client.place_order({"VASE": 1})).accepted
    assert host.node.streams == 2
    await client.close()


async def test_a_call_whose_stream_was_cancelled_is_tried_again(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    call = asyncio.create_task(client.place_order({"VASE": 1}))
    await nodes[0].inbox.get()
    (node,) = client._calls._nodes.values()
    assert node._stream is not None
    node._stream._parts[0].cancel()
    async with asyncio.timeout(1.0):  # less than an attempt may take
        assert (await call).accepted


def test_a_worker_that_asyncio_run_cancels_closes_its_client(host: NodeThread) -> None:
    said = list[Any]()
    opened = list[grpc.aio.Channel]()

    async def worker(begun: asyncio.Event) -> None:
        async with AsyncInventoryClient([host.node.endpoint]) as client:
            await client.place_order({"VASE": 1})
            opened.extend(channels(client))
            begun.set()
            await asyncio.Future()

    async def main() -> "asyncio.Task[None]":
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context.get("exception")))
        begun = asyncio.Event()
        task = asyncio.create_task(worker(begun))
        await begun.wait()
        return task

    assert asyncio.run(main()).cancelled()
    assert are_closed(opened)
    assert all(isinstance(error, BlockingIOError) for error in said)  # gRPC wakes every loop for what is for one


@pytest.mark.parametrize("cancels_tasks", [True, False])
def test_a_client_may_be_closed_when_its_loop_is(host: NodeThread, cancels_tasks: bool) -> None:
    if cancels_tasks:
        client, opened = asyncio.run(used(host))
    else:
        loop = asyncio.new_event_loop()
        client, opened = loop.run_until_complete(used(host))
        loop.close()
    asyncio.run(client.close())
    assert are_closed(opened)
    asyncio.run(client.close())


def test_a_loop_that_is_closed_behind_its_client_has_nothing_left_to_say(host: NodeThread) -> None:
    """gRPC was still at work for the stream that the client had cancelled, and met a closed loop."""
    script = f"""
        import asyncio
        from lastunit_client import AsyncInventoryClient

        async def main():
            async with AsyncInventoryClient(["{host.node.endpoint}"]) as client:
                await client.place_order({{"VASE": 1}})

        for _ in range(20):
            asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_a_client_is_not_closed_on_another_loop_while_its_own_runs(host: NodeThread) -> None:
    client, _ = await used(host)
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, client.close())
    assert (await client.place_order({"VASE": 1})).accepted
    await client.close()


async def test_a_close_that_is_cancelled_leaves_nothing_open(host: NodeThread) -> None:
    before = asyncio.all_tasks()
    client, opened = await used(host)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert are_closed(opened)
    await client.close()
    await until(lambda: asyncio.all_tasks() == before)


async def test_a_close_that_was_cancelled_before_it_began_may_be_called_again(host: NodeThread) -> None:
    client, opened = await used(host)
    closing = asyncio.create_task(client.close())
    closing.cancel()
    await asyncio.wait([closing])
    await client.close()
    assert are_closed(opened)


async def test_a_node_that_fails_to_close_keeps_none_open(
    client: AsyncInventoryClient, nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in nodes:
        await client.status(node.endpoint)
    opened = channels(client)

    async def broken(grace: float | None = None) -> None:
        raise ConnectionError

    with monkeypatch.context() as breaking:
        breaking.setattr(opened[1], "close", broken)
        with pytest.raises(ConnectionError):
            await client.close()
    assert are_closed([opened[0], opened[2]])
    await client.close()
    assert are_closed(opened)
