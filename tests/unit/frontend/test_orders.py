"""Orders are read off the bytes exactly as protobuf reads them, or left to it."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.message import ExecuteMessage
from lastunit_node.frontend.orders import order_at
from lastunit_node.frontend.requests import command_of, timeout_of
from lastunit_node.statemachine.commands import Command, Line, PlaceOrder

NAMES = st.one_of(st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True), st.text(max_size=70))
QUANTITIES = st.one_of(st.integers(1, 1_000_000), st.integers(-1, 1 << 40))
ORDERS = st.builds(
    pb.PlaceOrderRequest,
    reservation_id=NAMES,
    lines=st.lists(st.builds(pb.Line, sku=NAMES, quantity=QUANTITIES), max_size=2),
)
COMMANDS = st.one_of(
    st.builds(pb.Command, place_order=ORDERS),
    st.builds(pb.Command, release=st.builds(pb.ReleaseRequest, reservation_id=NAMES)),
)
NANOS = st.one_of(st.just(0), st.integers(0, 999_999_999), st.integers(-(1 << 31), (1 << 31) - 1))


@st.composite
def commands(draw: st.DrawFn) -> pb.Command:
    command = draw(COMMANDS)
    if draw(st.booleans()):
        command.timeout.seconds = draw(st.integers(-1, 100) | st.integers(-(1 << 63), (1 << 63) - 1))
        command.timeout.nanos = draw(NANOS)
    return command


REQUESTS = st.builds(
    pb.ExecuteRequest, sequence=st.integers(0, (1 << 64) - 1), commands=st.lists(commands(), max_size=4)
)


def plain(name: str = "o-1", seconds: int = 3) -> pb.Command:
    command = pb.Command(place_order=pb.PlaceOrderRequest(reservation_id=name, lines=[pb.Line(sku="vase", quantity=2)]))
    command.timeout.FromSeconds(seconds)
    return command


def by_protobuf(data: bytes) -> list[tuple[Command, float] | str]:
    """What each position comes to: a command and its deadline, or what is wrong with it."""
    found: list[tuple[Command, float] | str] = []
    for message in pb.ExecuteRequest.FromString(data).commands:
        try:
            found.append((command_of(message), 5.0 + timeout_of(message)))
        except CallError as error:
            found.append(str(error))
    return found


def by_bytes(data: bytes) -> list[tuple[Command, float] | str]:
    message = ExecuteMessage(data, 5.0)
    good = iter(zip(message.commands, message.deadlines, strict=True))
    count = len(message.commands) + len(message._malformed)
    bad = {position: str(error) for position, error in message._malformed.items()}
    return [bad[position] if position in bad else next(good) for position in range(count)]


@given(REQUESTS)
def test_a_message_reads_as_protobuf_reads_it(request: pb.ExecuteRequest) -> None:
    data = request.SerializeToString()
    assert by_bytes(data) == by_protobuf(data)


@given(st.lists(commands(), min_size=1, max_size=2), st.data())
@example([plain()], None)
def test_so_do_bytes_of_which_one_was_changed(commands: list[pb.Command], data: st.DataObject | None) -> None:
    request = pb.ExecuteRequest(sequence=1, commands=commands).SerializeToString()
    if data is None:
        changes = [(place, byte) for place in range(len(request)) for byte in range(256)]
    else:
        changes = [(data.draw(st.integers(0, len(request) - 1)), data.draw(st.integers(0, 255)))]
    for place, byte in changes:
        changed = request[:place] + bytes([byte]) + request[place + 1 :]
        try:
            expected = by_protobuf(changed)
        except DecodeError:
            with pytest.raises(DecodeError):
                by_bytes(changed)
        else:
            assert by_bytes(changed) == expected


def test_a_plain_order_does_without_protobuf() -> None:
    data = pb.ExecuteRequest(commands=[plain("a"), plain("b", seconds=100)]).SerializeToString()
    first = order_at(data, 0)
    assert first
    assert first[:2] == (PlaceOrder("a", (Line("vase", 2),)), 2.9)
    second = order_at(data, first[2])
    assert second == (PlaceOrder("b", (Line("vase", 2),)), 60.0, len(data))


def test_what_comes_twice_counts_as_protobuf_counts_it() -> None:
    halves = [pb.ExecuteRequest(sequence=number, commands=[plain(str(number))]) for number in (1, 2)]
    data = b"".join(half.SerializeToString() for half in halves)
    assert by_bytes(data) == by_protobuf(data)
    assert ExecuteMessage(data, 0.0)._sequence == 2
