"""Queries: reads on any node, pages, and questions about one node."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import pytest
from grpc import StatusCode

from lastunit.v1 import inventory_pb2
from lastunit_client import (
    AsyncInventoryClient,
    ClientClosedError,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    NotPossibleError,
    ReservationState,
    Role,
    StockLevel,
    UnavailableError,
)

from .fake_node import FakeNode, error, until

Nodes = list[FakeNode]


async def test_a_stock_level_says_which_index_it_belongs_to(client: AsyncInventoryClient) -> None:
    level = await client.get_stock("VASE")
    assert level == StockLevel("VASE", received=5, available=2, held=1, sold=1, removed=1, applied_index=9)
    assert level.applied_index == 9


async def test_a_node_that_refuses_connections_is_not_asked_by_the_next_query(nodes: Nodes, dead_endpoint: str) -> None:
    async with AsyncInventoryClient([dead_endpoint, nodes[0].endpoint]) as client:
        await client.get_stock("VASE")
        assert client._calls._pool.pick() == nodes[0].endpoint


@pytest.mark.parametrize(
    ("stale", "consistency"),
    [(False, inventory_pb2.READ_CONSISTENCY_LINEARIZABLE), (True, inventory_pb2.READ_CONSISTENCY_STALE)],
)
async def test_reads_are_linearizable_unless_asked_otherwise(
    client: AsyncInventoryClient, nodes: Nodes, stale: bool, consistency: int
) -> None:
    await client.get_reservation("r1", stale=stale, min_index=4)
    options = nodes[0].queries[0].options  # type: ignore[attr-defined]
    assert (options.consistency, options.min_index) == (consistency, 4)


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED])
async def test_a_read_goes_to_another_node(client: AsyncInventoryClient, nodes: Nodes, code: StatusCode) -> None:
    nodes[0].query_errors.append(code)
    assert (await client.get_stock("VASE")).received == 5
    assert (len(nodes[0].queries), len(nodes[1].queries)) == (1, 1)


async def test_queries_with_little_time_leave_a_node_that_says_nothing(nodes: Nodes, paused_endpoint: str) -> None:
    """Each of them gives up sooner than a node is in doubt; all of them together do not."""
    async with AsyncInventoryClient([paused_endpoint, nodes[0].endpoint], timeout=0.2) as client:
        failed = 0
        async with asyncio.timeout(10.0):
            while not nodes[0].queries:
                with suppress(DeadlineError):
                    await client.get_stock("VASE")
                    break
                failed += 1
        assert 1 < failed < 6
        assert client._calls._pool.pick() == nodes[0].endpoint


async def test_a_node_that_answers_some_is_not_left_for_those_it_was_too_slow_for(
    client: AsyncInventoryClient, nodes: Nodes
) -> None:
    for _ in range(4):
        nodes[0].query_errors.append(None)
        with pytest.raises(DeadlineError):
            await client.get_stock("VASE", timeout=0.2)
        await client.get_stock("VASE")
    assert not nodes[1].queries


async def test_not_found_is_an_error_that_is_not_retried(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].query_errors.append(error(StatusCode.NOT_FOUND, "no such sku"))
    with pytest.raises(NotFoundError, match="no such sku") as caught:
        await client.get_stock("CUP")
    assert caught.value.definite
    assert not nodes[1].queries


async def test_a_read_never_applies_anything(dead_endpoint: str, paused_endpoint: str) -> None:
    for endpoint in (dead_endpoint, paused_endpoint):
        async with AsyncInventoryClient([endpoint], timeout=0.2) as client:
            with pytest.raises((UnavailableError, DeadlineError)) as caught:
                await client.get_stock("VASE")
            assert caught.value.definite


async def test_a_query_under_way_ends_with_its_caller_or_its_client(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].query_errors += [None, None]
    first = asyncio.create_task(client.get_stock("VASE"))
    second = asyncio.create_task(client.get_stock("VASE"))
    await until(lambda: len(nodes[0].queries) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await client.close()
    with pytest.raises(ClientClosedError):
        await second


async def test_a_question_about_one_node_ends_with_its_client(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].query_errors += [None, None]
    status = asyncio.create_task(client.status(nodes[0].endpoint))
    transfer = asyncio.create_task(client.transfer_leadership(nodes[0].endpoint))
    await until(lambda: len(nodes[0].queries) == 2)
    await client.close()
    with pytest.raises(ClientClosedError) as asked:
        await status
    with pytest.raises(ClientClosedError) as moved:
        await transfer
    assert (asked.value.definite, moved.value.definite) == (True, False)


async def test_lists_fetch_page_by_page_and_survive_a_node(client: AsyncInventoryClient, nodes: Nodes) -> None:
    levels = client.list_stock(page_size=2)
    first = await anext(levels)
    await nodes[0].stop()
    rest = [level async for level in levels]
    assert [level.sku for level in (first, *rest)] == ["S0", "S1", "S2", "S3", "S4"]
    assert [level.applied_index for level in (first, *rest)] == [10, 10, 12, 12, 14]


async def test_reservations_are_listed_by_state(client: AsyncInventoryClient, nodes: Nodes) -> None:
    listed = [reservation async for reservation in client.list_reservations(state=ReservationState.HELD)]
    assert [reservation.state for reservation in listed] == [ReservationState.HELD]
    assert nodes[0].queries[0].state == inventory_pb2.RESERVATION_STATE_HELD  # type: ignore[attr-defined]
    assert [reservation async for reservation in client.list_reservations()]


async def test_the_status_is_that_of_the_node_asked(client: AsyncInventoryClient, nodes: Nodes) -> None:
    status = await client.status(nodes[2].endpoint)
    assert (status.node, status.role, status.leader, status.parameters) == ("n1", Role.LEADER, None, None)
    assert (status.state_hash.index, status.state_hash.chain) == (3, b"c")
    assert len(nodes[2].queries) == 1


async def test_a_question_about_one_node_goes_to_no_other(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].query_errors.append(StatusCode.UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await client.status(nodes[0].endpoint)
    nodes[0].query_errors.append(error(StatusCode.OUT_OF_RANGE, "too long ago"))
    with pytest.raises(NotPossibleError, match="too long ago"):
        await client.status(nodes[0].endpoint, hash_at_index=1)
    assert not nodes[1].queries


@pytest.mark.parametrize("definite", [True, False])
async def test_whether_leadership_may_move_after_an_error_is_what_the_node_says(
    client: AsyncInventoryClient, nodes: Nodes, definite: bool
) -> None:
    nodes[0].query_errors.append(error(StatusCode.DEADLINE_EXCEEDED, "no new leader yet", definite=definite))
    with pytest.raises(DeadlineError) as caught:
        await client.transfer_leadership(nodes[0].endpoint)
    assert caught.value.definite is definite


async def test_arguments_that_cannot_be_sent_are_refused_as_those_of_commands_are(
    client: AsyncInventoryClient, nodes: Nodes
) -> None:
    refused: list[tuple[str, Awaitable[object]]] = [
        ("sku", client.get_stock("\ud800")),
        ("min_index", client.get_reservation("r1", min_index=-1)),
        ("page_size", anext(client.list_stock(page_size=1 << 40))),
        ("state", anext(client.list_reservations(state="HELD"))),  # type: ignore[arg-type]
        ("hash_at_index", client.status(nodes[0].endpoint, hash_at_index=-1)),
        ("endpoint", client.status(None)),  # type: ignore[arg-type]
        ("node", client.transfer_leadership(nodes[0].endpoint, node=7)),  # type: ignore[arg-type]
    ]
    for field, query in refused:
        with pytest.raises(InvalidRequestError) as caught:
            await query
        assert caught.value.field == field


async def test_without_an_answer_leadership_may_move_and_a_status_is_harmless(
    client: AsyncInventoryClient, nodes: Nodes
) -> None:
    nodes[0].query_errors += [None, None]
    with pytest.raises(DeadlineError) as moved:
        await client.transfer_leadership(nodes[0].endpoint, timeout=0.1)
    with pytest.raises(DeadlineError) as asked:
        await client.status(nodes[0].endpoint, timeout=0.1)
    assert (moved.value.definite, asked.value.definite) == (False, True)


async def test_leadership_moves_to_whom_it_says(client: AsyncInventoryClient, nodes: Nodes) -> None:
    assert await client.transfer_leadership(nodes[0].endpoint) == "n2"
    assert await client.transfer_leadership(nodes[0].endpoint, node="n3") == "n3"
    nodes[0].query_errors.append(error(StatusCode.FAILED_PRECONDITION, "not the leader"))
    with pytest.raises(NotPossibleError, match="not the leader"):
        await client.transfer_leadership(nodes[0].endpoint)
