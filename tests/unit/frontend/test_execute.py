"""The Execute stream: positions, order, isolation, limits, backpressure."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend import FrontEnd
from lastunit_node.frontend.errors import CallError, invalid_argument
from lastunit_node.frontend.execute import MAX_MESSAGES
from lastunit_node.frontend.message import ExecuteMessage
from lastunit_node.frontend.queue import MAX_QUEUED
from lastunit_node.frontend.work import Answers
from lastunit_node.replica.interface import FailureReason
from lastunit_node.statemachine.codec import Malformed
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_MESSAGE_BYTES
from lastunit_node.statemachine.results import Outcome, Result

from .batcher_calls import run_many
from .errors_of_calls import error_of, seen
from .fakes import FakeReplica, accept, until

if TYPE_CHECKING:
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

Stream = Any  # grpc.aio.StreamStreamCall[pb.ExecuteRequest, pb.ExecuteResponse]


@pytest.fixture
async def stream(inventory: "InventoryServiceAsyncStub") -> AsyncIterator[Stream]:
    call = inventory.Execute()
    yield call
    call.cancel()


def order(name: str, seconds: float | None = None) -> pb.Command:
    request = pb.PlaceOrderRequest(reservation_id=name, lines=[pb.Line(sku="vase", quantity=1)])
    command = pb.Command(place_order=request)
    if seconds is not None:
        command.timeout.FromNanoseconds(round(seconds * 1e9))
    return command


def message_of(sequence: int, *commands: pb.Command) -> pb.ExecuteRequest:
    return pb.ExecuteRequest(sequence=sequence, commands=commands)


def ids(replica: FakeReplica, proposal: int) -> list[str]:
    return [command.reservation_id for command in replica.proposals[proposal].commands]  # type: ignore[union-attr]


async def test_a_response_echoes_its_sequence_and_answers_by_position(stream: Stream, replica: FakeReplica) -> None:
    await stream.write(message_of(77, order("a"), pb.Command(release=pb.ReleaseRequest(reservation_id="b"))))
    response = await stream.read()
    assert response.sequence == 77
    assert [answer.result.outcome for answer in response.results] == [pb.OUTCOME_ORDER_PLACED, pb.OUTCOME_RELEASED]
    assert [answer.result.applied_index for answer in response.results] == [1, 1]
    assert [answer.result.token.position for answer in response.results] == [0, 1]


async def test_a_bad_command_spoils_only_its_position(stream: Stream, replica: FakeReplica) -> None:
    bad_line = pb.Command(place_order=pb.PlaceOrderRequest(reservation_id="c", lines=[pb.Line(sku="vase")]))
    commands = [order("a"), pb.Command(), order("b"), bad_line, order("d", seconds=0), order("e")]
    await stream.write(message_of(1, *commands))
    results = (await stream.read()).results
    assert ids(replica, 0) == ["a", "b", "e"]
    assert [answer.WhichOneof("outcome") for answer in results] == [
        *("result", "error", "result", "error", "error", "result")
    ]
    errors = [seen(answer.error) for answer in results if answer.HasField("error")]
    assert [error.fields for error in errors] == [["command"], ["lines[0].quantity"], ["timeout"]]
    assert {(error.code, error.reason, error.definite) for error in errors} == {
        (grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_ARGUMENT", "true")
    }
    assert [answer.result.token.position for answer in (results[0], results[2], results[5])] == [0, 1, 2]


async def test_so_does_a_command_that_cannot_be_read(channel: grpc.aio.Channel, replica: FakeReplica) -> None:
    """A text that is no UTF-8, say: a shop that sends its buyers' orders together does not stop for one of them."""
    call: Stream = channel.stream_stream("/lastunit.v1.InventoryService/Execute")()
    message = message_of(1, order("a"), order("bad-"), order("c")).SerializeToString()
    await call.write(message.replace(b"bad-", b"bad\xff"))
    response = pb.ExecuteResponse.FromString(await call.read())
    assert ids(replica, 0) == ["a", "c"]
    assert [answer.WhichOneof("outcome") for answer in response.results] == ["result", "error", "result"]
    assert seen(response.results[1].error).fields == ["Command"]


async def test_a_message_of_nothing_but_bad_commands_is_answered_without_a_proposal(
    stream: Stream, replica: FakeReplica
) -> None:
    await stream.write(message_of(1, pb.Command(), pb.Command()))
    assert len((await stream.read()).results) == 2
    await stream.write(message_of(2))
    assert await stream.read() == pb.ExecuteResponse(sequence=2)
    assert not replica.proposals


def test_a_message_may_be_full_of_bad_commands_and_still_take_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is written by hand: protobuf made 90 ms of it, in which the event loop stood still."""
    error = invalid_argument("command", "one of its fields must be set").status()
    monkeypatch.delattr(CallError, "status")
    message = ExecuteMessage(message_of(1, *[pb.Command()] * MAX_COMMANDS).SerializeToString(), 0.0)
    response = pb.ExecuteResponse.FromString(message.response(Answers(0, ())))
    assert list(response.results) == [pb.ExecuteResult(error=error)] * MAX_COMMANDS


async def test_an_internal_outcome_spoils_only_its_position(stream: Stream, replica: FakeReplica) -> None:
    def answer(command: Command | Malformed, index: int, place: int) -> Result:
        return Result(Outcome.MALFORMED, index) if place == 1 else accept(command, index, place)

    replica.answer = answer
    await stream.write(message_of(1, order("a"), order("b"), order("c")))
    results = (await stream.read()).results
    assert [answer.WhichOneof("outcome") for answer in results] == ["result", "error", "result"]
    assert results[1].error.code == grpc.StatusCode.INTERNAL.value[0]


async def test_responses_may_overtake(stream: Stream, replica: FakeReplica) -> None:
    replica.hold()
    await stream.write(message_of(1, order("a")))
    await replica.proposed(1)
    await stream.write(message_of(2, order("b")))
    await stream.write(message_of(3, pb.Command()))
    assert (await stream.read()).sequence == 3
    replica.let_go()
    assert {(await stream.read()).sequence for _ in range(2)} == {1, 2}


async def test_each_command_has_its_own_timeout(stream: Stream, replica: FakeReplica) -> None:
    replica.hold()
    await stream.write(message_of(1, order("first")))
    await replica.proposed(1)
    await stream.write(message_of(2, order("b", seconds=0.05)))
    assert seen((await stream.read()).results[0].error).reason == "DEADLINE"
    await stream.write(message_of(3, order("c", seconds=0.05), order("d")))
    await stream.write(message_of(4, order("e", seconds=0.1)))
    assert (await stream.read()).sequence == 4  # by now the deadline of c has passed, too
    replica.let_go()
    assert (await stream.read()).sequence == 1
    results = (await stream.read()).results
    error = seen(results[0].error)
    assert (error.code, error.definite) == (grpc.StatusCode.DEADLINE_EXCEEDED.value[0], "true")
    assert results[1].result.outcome == pb.OUTCOME_ORDER_PLACED
    assert ids(replica, 1) == ["d"]


async def test_an_attempt_that_may_have_been_applied_makes_its_commands_indefinite(
    stream: Stream, replica: FakeReplica
) -> None:
    replica.always = FailureReason.LEADER_CHANGED
    await stream.write(message_of(1, order("a", seconds=0.05), pb.Command()))
    first, second = (await stream.read()).results
    assert seen(first.error)[:5] == (
        grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
        first.error.message,
        "LEADER_CHANGED",
        "lastunit",
        "false",
    )
    assert seen(second.error).definite == "true"


async def test_a_full_queue_answers_every_position_with_retry_info(
    stream: Stream, replica: FakeReplica, front_end: FrontEnd
) -> None:
    replica.hold()
    fillers = await run_many(front_end._batcher, MAX_QUEUED // MAX_COMMANDS + 1, *["x"] * MAX_COMMANDS)
    await stream.write(message_of(1, order("a"), order("b")))
    errors = [seen(answer.error) for answer in (await stream.read()).results]
    assert [error.code for error in errors] == [grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]] * 2
    assert all(error.definite == "true" and error.retry_seconds > 0 for error in errors)
    replica.let_go()
    await asyncio.gather(*fillers)
    assert not any(name in ids(replica, number) for number in range(len(replica.proposals)) for name in "ab")


async def test_a_message_with_too_many_commands_ends_the_stream_after_the_answers_under_way(
    stream: Stream, replica: FakeReplica
) -> None:
    replica.hold()
    await stream.write(message_of(1, order("a")))
    await replica.proposed(1)
    await stream.write(message_of(2, *[pb.Command()] * (MAX_COMMANDS + 1)))
    replica.let_go()
    assert (await stream.read()).sequence == 1
    error = await error_of(stream.read())
    assert (error.code, error.fields, error.definite) == (
        grpc.StatusCode.INVALID_ARGUMENT.value[0],
        ["commands"],
        "true",
    )
    assert len(replica.proposals) == 1


async def test_a_message_with_as_many_commands_as_allowed_is_one_entry(stream: Stream, replica: FakeReplica) -> None:
    await stream.write(message_of(1, *[order(f"o-{number}") for number in range(MAX_COMMANDS)]))
    assert len((await stream.read()).results) == MAX_COMMANDS
    assert len(replica.proposals) == 1


async def test_a_message_with_too_many_bytes_ends_the_stream(stream: Stream, replica: FakeReplica) -> None:
    large = pb.PlaceOrderRequest(reservation_id="a", lines=[pb.Line(sku="s" * 64, quantity=1)] * 100)
    await stream.write(message_of(1, *[pb.Command(place_order=large)] * (MAX_MESSAGE_BYTES // large.ByteSize() + 1)))
    error = await error_of(stream.read())
    assert (error.fields, error.definite) == (["ExecuteRequest"], "true")
    assert not replica.proposals


async def test_a_stream_is_read_no_further_than_the_messages_it_may_have_under_way(
    stream: Stream, replica: FakeReplica, front_end: FrontEnd
) -> None:
    replica.hold()
    await stream.write(message_of(0, order("first")))
    await replica.proposed(1)
    for sequence in range(1, MAX_MESSAGES + 4):
        await stream.write(message_of(sequence, order(f"o-{sequence}")))
    await until(lambda: front_end._batcher._queue.weight == MAX_MESSAGES - 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert front_end._batcher._queue.weight == MAX_MESSAGES - 1
    replica.let_go()
    assert {(await stream.read()).sequence for _ in range(MAX_MESSAGES + 4)} == set(range(MAX_MESSAGES + 4))


async def test_the_stream_ends_when_the_caller_is_done_and_everything_is_answered(
    stream: Stream, replica: FakeReplica
) -> None:
    replica.hold()
    await stream.write(message_of(1, order("a")))
    await stream.done_writing()
    await replica.proposed(1)
    replica.let_go()
    assert (await stream.read()).sequence == 1
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_cancelled_stream_withdraws_what_is_not_yet_proposed(
    stream: Stream, replica: FakeReplica, front_end: FrontEnd, inventory: "InventoryServiceAsyncStub"
) -> None:
    replica.hold()
    await stream.write(message_of(1, order("a")))
    await replica.proposed(1)
    await stream.write(message_of(2, order("b"), order("c")))
    await until(lambda: bool(front_end._batcher._queue))
    stream.cancel()
    await until(lambda: not front_end._batcher._queue)
    replica.let_go()
    await inventory.Release(pb.ReleaseRequest(reservation_id="z"))
    assert [ids(replica, 0), ids(replica, 1)] == [["a"], ["z"]]


async def test_streams_and_calls_that_fail_together_leave_no_exception_behind(
    front_end: FrontEnd, inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    """Compiled code did: each held the one before it, for as long as the node ran."""
    replica.hold()
    streams: list[Stream] = [inventory.Execute() for _ in range(3)]
    for number, stream in enumerate(streams):
        await stream.write(pb.ExecuteRequest(sequence=number, commands=[order(f"o{number}")]))
    await replica.proposed(1)
    for stream in streams:
        stream.cancel()
    replica.let_go()
    assert await front_end.drain(10)
    refused = [error_of(inventory.Release(pb.ReleaseRequest(reservation_id="r"))) for _ in range(3)]
    assert {error.reason for error in await asyncio.gather(*refused)} == {"STOPPING"}
    assert sys.exc_info() == (None, None, None)


async def test_a_timeout_is_a_duration_with_fractions(stream: Stream, replica: FakeReplica) -> None:
    replica.always = FailureReason.NO_LEADER
    command = order("a")
    command.timeout.CopyFrom(Duration(nanos=30_000_000))
    await stream.write(message_of(1, command))
    assert seen((await stream.read()).results[0].error).reason == "NO_LEADER"


@pytest.mark.parametrize("bad", [b"\x0a", b"\x08\x01\x12\x7f", b"\xff" * 100])
async def test_bytes_that_are_no_message_end_the_stream_and_lose_none_before_them(
    channel: grpc.aio.Channel, replica: FakeReplica, bad: bytes
) -> None:
    replica.hold()
    call: Stream = channel.stream_stream("/lastunit.v1.InventoryService/Execute")()
    await call.write(message_of(1, order("a")).SerializeToString())
    await replica.proposed(1)
    await call.write(bad)
    replica.let_go()
    assert pb.ExecuteResponse.FromString(await call.read()).sequence == 1
    error = await error_of(call.read())
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert error.fields == ["ExecuteRequest"]
