"""Calls against scripted nodes: what is retried, where, under which id, and what an error says."""

import asyncio
import math
from typing import Any

import pytest
from grpc import StatusCode

from lastunit.v1 import inventory_pb2
from lastunit_client import (
    AsyncInventoryClient,
    ClientClosedError,
    DeadlineError,
    InvalidRequestError,
    Outcome,
    ProtocolError,
    UnavailableError,
)

from .fake_node import FakeNode, bad_request, error, retry_info, until

Nodes = list[FakeNode]

# Longer than any call of these tests: the attempt that gets it is the call's last.
NO_QUORUM_FOR_LONG = error(StatusCode.UNAVAILABLE, "no quorum", definite=True, details=[retry_info(60.0)])


def commands_seen(node: FakeNode) -> int:
    return sum(len(message.commands) for message in node.messages)


async def test_an_answer_comes_back_with_the_id_that_was_given(client: AsyncInventoryClient) -> None:
    result = await client.place_order({"VASE": 1}, reservation_id="order-1")
    assert (result.request_id, result.outcome, result.accepted) == ("order-1", Outcome.ORDER_PLACED, True)


async def test_an_id_is_made_when_none_is_given(client: AsyncInventoryClient, nodes: Nodes) -> None:
    one, two = await client.receive_stock({"VASE": 1}), await client.receive_stock({"VASE": 1})
    assert one.request_id != two.request_id
    assert nodes[0].messages[0].commands[0].receive_stock.receipt_id == one.request_id


async def test_no_proxy_is_asked(nodes: Nodes, dead_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, f"http://{dead_endpoint}")
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with AsyncInventoryClient([nodes[0].endpoint], timeout=5.0) as client:
        assert (await client.place_order({"VASE": 1})).accepted


@pytest.mark.parametrize("definite", [True, False])
@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED])
async def test_a_node_without_an_answer_is_left_for_the_next_under_the_same_id(
    client: AsyncInventoryClient, nodes: Nodes, code: StatusCode, definite: bool
) -> None:
    nodes[0].reactions.append(nodes[0].fail_with(error(code, definite=definite)))
    result = await client.place_order({"VASE": 1})
    assert result.accepted
    ids = [node.messages[0].commands[0].place_order.reservation_id for node in nodes[:2]]
    assert ids == [result.request_id] * 2


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.INTERNAL])
async def test_a_stream_that_breaks_is_retried_elsewhere_and_applied_once(
    client: AsyncInventoryClient, nodes: Nodes, code: StatusCode
) -> None:
    nodes[0].reactions.append(nodes[0].abort_with(code))
    result = await client.place_order({"VASE": 1})
    assert result.accepted
    assert commands_seen(nodes[1]) == 1


async def test_a_command_applied_by_a_dying_node_is_replayed_by_another(
    client: AsyncInventoryClient, nodes: Nodes
) -> None:
    nodes[0].reactions.append(nodes[0].apply_and_break)
    result = await client.place_order({"VASE": 1})
    assert result.accepted
    assert result.replayed


async def test_every_command_of_a_broken_stream_is_retried(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].abort_with(StatusCode.UNAVAILABLE))
    results = await asyncio.gather(*(client.place_order({"VASE": 1}) for _ in range(100)))
    assert all(result.accepted for result in results)
    assert commands_seen(nodes[0]) == commands_seen(nodes[1]) == 100


async def test_a_killed_node_fails_over_and_is_used_again_once_it_is_the_last(nodes: Nodes) -> None:
    async with AsyncInventoryClient([node.endpoint for node in nodes[:2]]) as client:
        await client.place_order({"VASE": 1})
        await nodes[0].stop()
        assert (await client.place_order({"VASE": 1})).accepted
        await nodes[1].stop()
        await nodes[0].start()
        assert (await client.place_order({"VASE": 1})).accepted


async def test_a_refused_connection_is_no_obstacle(nodes: Nodes, dead_endpoint: str) -> None:
    async with AsyncInventoryClient([dead_endpoint, nodes[0].endpoint]) as client:
        assert (await client.place_order({"VASE": 1})).accepted


async def test_a_working_node_is_kept_and_the_first_is_the_one_named_first(nodes: Nodes) -> None:
    endpoints = [node.endpoint for node in nodes]
    async with AsyncInventoryClient(endpoints[1:] + endpoints[:1]) as client:
        for _ in range(5):
            await client.place_order({"VASE": 1})
    assert [commands_seen(node) for node in nodes] == [0, 5, 0]
    assert nodes[1].streams == 1


async def test_a_node_that_failed_is_not_asked_by_the_next_caller(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].abort_with(StatusCode.UNAVAILABLE))
    for _ in range(5):
        await client.place_order({"VASE": 1})
    assert [commands_seen(node) for node in nodes] == [1, 5, 0]


async def test_a_full_queue_is_retried_not_before_its_retry_info(client: AsyncInventoryClient, nodes: Nodes) -> None:
    full = error(StatusCode.RESOURCE_EXHAUSTED, definite=True, details=[retry_info(0.2)])
    for node in nodes[:2]:
        node.reactions.append(node.fail_with(full))
    started = asyncio.get_running_loop().time()
    result = await client.place_order({"VASE": 1})
    assert result.accepted
    assert asyncio.get_running_loop().time() - started >= 2 * 0.2


async def test_exhaustion_without_retry_info_is_not_retried(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].fail_with(error(StatusCode.RESOURCE_EXHAUSTED, definite=True)))
    with pytest.raises(UnavailableError) as caught:
        await client.place_order({"VASE": 1})
    assert caught.value.definite
    assert commands_seen(nodes[1]) == 0


async def test_a_malformed_command_names_its_field_and_spoils_only_itself(
    client: AsyncInventoryClient, nodes: Nodes
) -> None:
    malformed = error(StatusCode.INVALID_ARGUMENT, details=[bad_request("lines[0].quantity", "must be positive")])
    nodes[0].reactions.append(nodes[0].fail_with(malformed))
    with pytest.raises(InvalidRequestError) as caught:
        await client.place_order({"VASE": 0}, reservation_id="order-1")
    assert (caught.value.field, caught.value.definite) == ("lines[0].quantity", True)
    assert str(caught.value) == "lines[0].quantity: must be positive"
    assert caught.value.request_id == "order-1"
    assert nodes[0].streams == 1


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED])
async def test_nothing_else_is_retried(client: AsyncInventoryClient, nodes: Nodes, code: StatusCode) -> None:
    nodes[0].reactions.append(nodes[0].fail_with(error(code)))
    with pytest.raises(ProtocolError) as caught:
        await client.place_order({"VASE": 1})
    assert not caught.value.definite
    assert commands_seen(nodes[1]) == 0


async def test_an_unknown_outcome_is_never_taken_for_an_answer(client: AsyncInventoryClient, nodes: Nodes) -> None:
    async def newer(request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
        response = await nodes[0].answer(request, context)
        response.results[0].result.outcome = inventory_pb2.Outcome.ValueType(99)
        return response

    nodes[0].reactions.append(newer)
    with pytest.raises(ProtocolError) as caught:
        await client.place_order({"VASE": 1})
    assert not caught.value.definite


async def test_a_message_answered_with_too_few_results_ends_the_stream(
    client: AsyncInventoryClient, nodes: Nodes
) -> None:
    async def short(request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
        response = await nodes[0].answer(request, context)
        del response.results[:]
        return response

    nodes[0].reactions.append(short)
    with pytest.raises(ProtocolError):
        await client.place_order({"VASE": 1})
    assert (await client.place_order({"VASE": 1})).accepted


async def test_a_silent_node_does_not_eat_the_deadline(nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    endpoints = [node.endpoint for node in nodes]
    async with AsyncInventoryClient(endpoints, timeout=10.0, attempt_timeout=0.2) as client, asyncio.timeout(5.0):
        assert (await client.place_order({"VASE": 1})).accepted


async def test_a_paused_node_does_not_eat_the_deadline(nodes: Nodes, paused_endpoint: str) -> None:
    async with AsyncInventoryClient([paused_endpoint, nodes[0].endpoint]) as client, asyncio.timeout(2.9):
        assert (await client.place_order({"VASE": 1})).accepted


async def test_a_hanging_stream_is_given_up_with_all_that_waits_behind_it(nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    endpoints = [node.endpoint for node in nodes]
    async with AsyncInventoryClient(endpoints, attempt_timeout=0.6) as client:
        await client.place_order({"VASE": 1})  # waits 0.6 s on node 0
        await client.place_order({"VASE": 1})  # node 0 is in doubt
        assert commands_seen(nodes[0]) == 1


async def test_a_hanging_stream_is_replaced_though_its_callers_have_gone(nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    async with AsyncInventoryClient([nodes[0].endpoint]) as client:
        with pytest.raises(DeadlineError):
            await client.place_order({"VASE": 1}, timeout=0.2)
        assert (await client.place_order({"VASE": 1}, timeout=5.0)).accepted
    assert nodes[0].streams == 2


async def test_a_node_whose_stream_hung_is_in_doubt_for_everyone(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    with pytest.raises(DeadlineError):
        await client.place_order({"VASE": 1}, timeout=0.2)
    await until(lambda: client._calls._pool.pick() != nodes[0].endpoint)
    assert (await client.place_order({"VASE": 1})).accepted
    assert [commands_seen(node) for node in nodes] == [1, 1, 0]


async def test_a_hasty_caller_does_not_bring_a_node_into_doubt(client: AsyncInventoryClient, nodes: Nodes) -> None:
    await client.place_order({"VASE": 1})  # so that there is a connection
    gate = asyncio.Event()
    nodes[0].reactions.append(nodes[0].wait_for(gate))
    with pytest.raises(DeadlineError):
        await client.place_order({"VASE": 1}, timeout=0.05)
    gate.set()
    assert (await client.place_order({"VASE": 1})).accepted
    assert [commands_seen(node) for node in nodes] == [3, 0, 0]


async def test_no_answer_from_a_node_is_indefinite(nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    async with AsyncInventoryClient([nodes[0].endpoint], timeout=0.1) as client:
        with pytest.raises(DeadlineError) as caught:
            await client.place_order({"VASE": 1}, reservation_id="order-1")
    assert (caught.value.definite, caught.value.request_id) == (False, "order-1")


async def test_no_connection_at_all_is_definite(dead_endpoint: str, paused_endpoint: str) -> None:
    for endpoint in (dead_endpoint, paused_endpoint):
        async with AsyncInventoryClient([endpoint]) as client:
            with pytest.raises((UnavailableError, DeadlineError)) as caught:
                await client.place_order({"VASE": 1}, timeout=0.3)
            assert caught.value.definite


async def test_one_indefinite_attempt_makes_the_error_indefinite(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].abort_with(StatusCode.UNAVAILABLE))
    nodes[1].reactions.append(nodes[1].fail_with(NO_QUORUM_FOR_LONG))
    with pytest.raises(UnavailableError) as caught:
        await client.place_order({"VASE": 1})
    assert not caught.value.definite


async def test_what_one_node_took_is_not_said_to_be_malformed(client: AsyncInventoryClient, nodes: Nodes) -> None:
    """InvalidRequestError promises that nothing was applied; nodes of two versions may differ in their limits."""
    nodes[0].reactions = [nodes[0].apply_and_break]
    nodes[1].reactions = [nodes[1].fail_with(error(StatusCode.INVALID_ARGUMENT, "too long", definite=True))]
    with pytest.raises(ProtocolError, match=r"too long.*earlier attempt may have been applied") as caught:
        await client.place_order({"VASE": 1}, reservation_id="r1")
    assert not caught.value.definite
    assert caught.value.request_id == "r1"


async def test_definite_attempts_only_make_a_definite_error(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].fail_with(error(StatusCode.UNAVAILABLE, definite=True)))
    nodes[1].reactions.append(nodes[1].fail_with(NO_QUORUM_FOR_LONG))
    with pytest.raises(UnavailableError, match="no quorum") as caught:
        await client.place_order({"VASE": 1})
    assert (caught.value.definite, caught.value.reason) == (True, "TESTED")


async def test_a_command_carries_less_time_than_its_caller_waits(client: AsyncInventoryClient, nodes: Nodes) -> None:
    await client.place_order({"VASE": 1}, timeout=0.4)
    timeout = nodes[0].messages[0].commands[0].timeout.ToTimedelta().total_seconds()
    assert 0.2 <= timeout <= 0.4


@pytest.mark.parametrize("seconds", [0, -1e-9, -1.0, math.nan, math.inf, -math.inf])
async def test_a_call_without_any_time_left_sends_nothing(
    client: AsyncInventoryClient, nodes: Nodes, seconds: float
) -> None:
    with pytest.raises(DeadlineError, match="nothing was sent") as caught:
        await client.place_order({"VASE": 1}, reservation_id="order-1", timeout=seconds)
    assert (caught.value.definite, caught.value.request_id) == (True, "order-1")
    for query in (client.get_stock("VASE", timeout=seconds), client.status(nodes[0].endpoint, timeout=seconds)):
        with pytest.raises(DeadlineError):
            await query
    assert (await client.place_order({"VASE": 1})).accepted
    assert (len(nodes[0].messages), len(nodes[0].queries), nodes[0].streams) == (1, 0, 1)


@pytest.mark.parametrize("seconds", [1e9, 1e10, 1e300])
async def test_a_huge_timeout_is_as_good_as_none(nodes: Nodes, seconds: float) -> None:
    endpoints = [node.endpoint for node in nodes]
    async with AsyncInventoryClient(endpoints, timeout=seconds, attempt_timeout=seconds) as client, asyncio.timeout(5):
        assert (await client.place_order({"VASE": 1})).accepted
        assert (await client.get_stock("VASE")).received == 5
        assert (await client.status(endpoints[0], timeout=seconds)).node == "n1"
        assert await client.transfer_leadership(endpoints[0]) == "n2"


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
def test_an_attempt_takes_some_time_and_not_for_ever(seconds: float) -> None:
    with pytest.raises(ValueError, match="attempt_timeout"):
        AsyncInventoryClient(["127.0.0.1:7101"], attempt_timeout=seconds)


async def test_a_cancelled_caller_leaves_the_others_alone(client: AsyncInventoryClient, nodes: Nodes) -> None:
    gate = asyncio.Event()
    nodes[0].reactions.append(nodes[0].wait_for(gate))
    impatient = asyncio.create_task(client.place_order({"VASE": 1}))
    patient = asyncio.create_task(client.place_order({"VASE": 1}))
    await nodes[0].inbox.get()
    impatient.cancel()
    gate.set()
    assert (await patient).accepted
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_command_of_more_than_a_message_is_refused_here(client: AsyncInventoryClient, nodes: Nodes) -> None:
    with pytest.raises(InvalidRequestError):
        await client.place_order([("V" * 60, 1)] * 20_000)
    assert not nodes[0].messages


async def test_close_ends_calls_under_way_and_later_ones(client: AsyncInventoryClient, nodes: Nodes) -> None:
    nodes[0].reactions.append(nodes[0].hang)
    call = asyncio.create_task(client.place_order({"VASE": 1}))
    await nodes[0].inbox.get()
    await client.close()
    with pytest.raises(ClientClosedError) as during:
        await call
    with pytest.raises(ClientClosedError) as after:
        await client.place_order({"VASE": 1})
    assert (during.value.definite, after.value.definite) == (False, True)
    await client.close()


async def test_a_client_belongs_to_one_event_loop(client: AsyncInventoryClient) -> None:
    await client.place_order({"VASE": 1})
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, client.place_order({"VASE": 1}))


@pytest.mark.parametrize("endpoints", [[], "127.0.0.1:7101"])
def test_endpoints_must_be_a_list(endpoints: list[str]) -> None:
    with pytest.raises(ValueError, match="endpoints"):
        AsyncInventoryClient(endpoints)
