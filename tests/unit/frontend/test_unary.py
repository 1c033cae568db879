"""Requests of single calls are read off their bytes exactly as protobuf reads them."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from unit.frontend.test_orders import (
    COMMANDS,
    plain,
    plain_confirm,
    plain_extend_hold,
    plain_release,
    plain_reserve,
)

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend import orders, requests, unary
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.unary import RequestReader
from lastunit_node.statemachine.brief import full
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.limits import MAX_MESSAGE_BYTES

READERS: dict[str, tuple[RequestReader, Any, Any]] = {
    "place_order": (unary.PLACE_ORDER, pb.PlaceOrderRequest, requests.place_order),
    "reserve": (unary.RESERVE, pb.ReserveRequest, requests.reserve),
    "confirm": (unary.CONFIRM, pb.ConfirmRequest, requests.confirm),
    "release": (unary.RELEASE, pb.ReleaseRequest, requests.release),
    "extend_hold": (unary.EXTEND_HOLD, pb.ExtendHoldRequest, requests.extend_hold),
    "receive_stock": (unary.RECEIVE_STOCK, pb.ReceiveStockRequest, requests.receive_stock),
}


def request_of(command: pb.Command) -> tuple[str, bytes]:
    """Which method's request it is, and its bytes."""
    name = command.WhichOneof("command")
    assert name
    return name, getattr(command, name).SerializeToString()


def reads_as_protobuf_does(name: str, data: bytes) -> None:
    reader, message, convert = READERS[name]
    assert by_bytes(reader, data) == by_protobuf(message, convert, data)


def by_bytes(reader: RequestReader, data: bytes) -> Command | str:
    """The command, or what is wrong with it."""
    try:
        return full(reader.read(data))
    except CallError as error:
        return str(error)


def by_protobuf(message: Any, convert: requests.Convert[Any], data: bytes) -> Command | str:
    try:
        return requests.checked(convert, message.FromString(data))
    except CallError as error:
        return str(error)
    except DecodeError:
        return f"{message.DESCRIPTOR.name}: cannot be read: these bytes are no such message"


@given(COMMANDS)
def test_a_request_reads_as_protobuf_reads_it(command: pb.Command) -> None:
    reads_as_protobuf_does(*request_of(command))


@given(COMMANDS, st.data())
@example(plain(), None)
@example(plain_reserve(), None)
@example(plain_confirm(position=1), None)
@example(plain_release(position=1), None)
@example(plain_extend_hold(), None)
def test_so_do_bytes_of_which_one_was_changed(command: pb.Command, data: st.DataObject | None) -> None:
    name, request = request_of(command)
    if data is None:
        changes = [(place, byte) for place in range(len(request)) for byte in range(256)]
    elif request:
        changes = [(data.draw(st.integers(0, len(request) - 1)), data.draw(st.integers(0, 255)))]
    else:
        changes = []
    for place, byte in changes:
        reads_as_protobuf_does(name, request[:place] + bytes([byte]) + request[place + 1 :])


@pytest.mark.parametrize(
    "command",
    [plain(), plain_reserve(), plain_confirm(position=1), plain_release(position=1), plain_extend_hold()],
    ids=str,
)
def test_so_do_bytes_that_are_cut_off_or_followed_by_others(command: pb.Command) -> None:
    name, request = request_of(command)
    for end in range(len(request)):
        reads_as_protobuf_does(name, request[:end])
        reads_as_protobuf_does(name, request + request[:end])


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (plain(), orders.PLACE_ORDER),
        (plain_reserve(), orders.RESERVE),
        (plain_reserve(0), orders.RESERVE),
        (plain_confirm(), orders.CONFIRM),
        (plain_release(), orders.RELEASE),
        (plain_extend_hold(), orders.EXTEND_HOLD),
    ],
    ids=str,
)
def test_the_usual_request_does_without_protobuf(command: pb.Command, kind: int) -> None:
    _, request = request_of(command)
    assert orders.plain_request(request, kind) is not None


def test_a_request_over_the_limit_is_named() -> None:
    with pytest.raises(CallError, match="ReleaseRequest: must take at most"):
        unary.RELEASE.read(bytes(MAX_MESSAGE_BYTES + 1))
