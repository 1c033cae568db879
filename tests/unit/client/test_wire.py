"""What is encoded and decoded by hand, held to protobuf."""

import asyncio

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from lastunit.v1 import inventory_pb2
from lastunit_client import FencingToken, orders
from lastunit_client.batch import Batch, Pending
from lastunit_client.retry import attempt_end
from lastunit_client.wire import execute_response, varint

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
UINT64 = st.integers(0, (1 << 64) - 1)
LINES = st.lists(st.tuples(TEXT, INT64), max_size=5)
TOKENS = st.builds(FencingToken, UINT64, UINT64, st.integers(0, (1 << 32) - 1))


def pb_lines(lines: list[tuple[str, int]]) -> list[inventory_pb2.Line]:
    return [inventory_pb2.Line(sku=sku, quantity=quantity) for sku, quantity in lines]


def pb_token(token: FencingToken | None) -> inventory_pb2.FencingToken | None:
    if token is None:
        return None
    return inventory_pb2.FencingToken(term=token.term, index=token.index, position=token.position)


def decoded(command: bytes) -> inventory_pb2.Command:
    return inventory_pb2.Command.FromString(command)


@given(TEXT, LINES)
def test_place_order_is_what_protobuf_makes_of_it(reservation_id: str, lines: list[tuple[str, int]]) -> None:
    request = inventory_pb2.PlaceOrderRequest(reservation_id=reservation_id, lines=pb_lines(lines))
    assert decoded(orders.place_order(reservation_id, lines)) == inventory_pb2.Command(place_order=request)


@given(TEXT, LINES, INT64)
def test_reserve_is_what_protobuf_makes_of_it(reservation_id: str, lines: list[tuple[str, int]], hold: int) -> None:
    request = inventory_pb2.ReserveRequest(reservation_id=reservation_id, lines=pb_lines(lines), hold_ticks=hold)
    assert decoded(orders.reserve(reservation_id, lines, hold)) == inventory_pb2.Command(reserve=request)


@given(TEXT, TOKENS, LINES)
def test_confirm_is_what_protobuf_makes_of_it(
    reservation_id: str, token: FencingToken, lines: list[tuple[str, int]]
) -> None:
    request = inventory_pb2.ConfirmRequest(reservation_id=reservation_id, token=pb_token(token), lines=pb_lines(lines))
    assert decoded(orders.confirm(reservation_id, token, lines or None)) == inventory_pb2.Command(confirm=request)


@given(TEXT, st.none() | TOKENS)
def test_release_is_what_protobuf_makes_of_it(reservation_id: str, token: FencingToken | None) -> None:
    request = inventory_pb2.ReleaseRequest(reservation_id=reservation_id, token=pb_token(token))
    assert decoded(orders.release(reservation_id, token)) == inventory_pb2.Command(release=request)


@given(TEXT, TOKENS, INT64)
def test_extend_hold_is_what_protobuf_makes_of_it(reservation_id: str, token: FencingToken, until_tick: int) -> None:
    request = inventory_pb2.ExtendHoldRequest(
        reservation_id=reservation_id, token=pb_token(token), until_tick=until_tick
    )
    assert decoded(orders.extend_hold(reservation_id, token, until_tick)) == inventory_pb2.Command(extend_hold=request)


@given(TEXT, LINES)
def test_receive_stock_is_what_protobuf_makes_of_it(receipt_id: str, lines: list[tuple[str, int]]) -> None:
    request = inventory_pb2.ReceiveStockRequest(receipt_id=receipt_id, lines=pb_lines(lines))
    assert decoded(orders.receive_stock(receipt_id, lines)) == inventory_pb2.Command(receive_stock=request)


@given(UINT64, st.lists(st.tuples(TEXT, st.floats(0.001, 1e6)), max_size=5))
def test_a_message_is_what_protobuf_makes_of_its_commands(sequence: int, waiting: list[tuple[str, float]]) -> None:
    loop = asyncio.new_event_loop()
    batch = Batch(
        tuple(Pending(orders.place_order(name, {"VASE": 1}), left, loop.create_future()) for name, left in waiting)
    )
    loop.close()
    request, first_end, last_end = batch.request(sequence, 0.0, 1e5)
    message = inventory_pb2.ExecuteRequest.FromString(request)
    assert message.sequence == sequence
    assert [command.place_order.reservation_id for command in message.commands] == [name for name, _ in waiting]
    lefts = [attempt_end(0.0, left, 1e5) for _, left in waiting]
    assert not lefts or (first_end, last_end) == (min(lefts), max(lefts))
    for command, left in zip(message.commands, lefts, strict=True):
        assert min(0.001, left) <= command.timeout.ToNanoseconds() / 1e9 <= max(0.001, left)
        assert left - command.timeout.ToNanoseconds() / 1e9 < 0.102  # a tenth of a second, and what is rounded down


@given(UINT64, st.lists(st.builds(inventory_pb2.CommandResult, result_index=UINT64)))
def test_a_response_is_taken_apart_as_protobuf_does(sequence: int, answers: list[inventory_pb2.CommandResult]) -> None:
    results = [inventory_pb2.ExecuteResult(result=answer) for answer in answers]
    response = inventory_pb2.ExecuteResponse(sequence=sequence, results=results)
    assert execute_response(response.SerializeToString()) == (
        sequence,
        [result.SerializeToString() for result in results],
    )


@given(st.binary())
def test_what_is_no_response_is_an_error_or_read_as_protobuf_reads_it(strange: bytes) -> None:
    try:
        message = inventory_pb2.ExecuteResponse.FromString(strange)
    except DecodeError:
        with pytest.raises(DecodeError):
            [inventory_pb2.ExecuteResult.FromString(result) for result in execute_response(strange)[1]]
    else:
        sequence, results = execute_response(strange)
        assert sequence == message.sequence
        assert [inventory_pb2.ExecuteResult.FromString(result) for result in results] == list(message.results)


def test_what_a_newer_node_adds_to_a_response_is_passed_over() -> None:
    part = inventory_pb2.ExecuteResult(result=inventory_pb2.CommandResult(result_index=7)).SerializeToString()
    known = inventory_pb2.ExecuteResponse(sequence=3)
    known.results.add().MergeFromString(part)
    assert execute_response(b"\x1a\x03new" + known.SerializeToString() + b"\x20\x01") == (3, [part])


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_a_response_that_was_cut_is_an_error(cut: int) -> None:
    result = inventory_pb2.ExecuteResult(result=inventory_pb2.CommandResult(result_index=1 << 50))
    whole = inventory_pb2.ExecuteResponse(results=[result]).SerializeToString()
    with pytest.raises(DecodeError):
        execute_response(whole[: len(whole) - cut])


@pytest.mark.parametrize(("value", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (-1, "ff" * 9 + "01")])
def test_numbers_are_varints(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded
