"""Commands are read off the bytes exactly as protobuf reads them, or left to it."""

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from lastunit.v1 import inventory_pb2 as pb
from lastunit_client import orders as client
from lastunit_client.fencing import FencingToken
from lastunit_client.wire import content, execute_request
from lastunit_node.frontend import message as execute_message
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.message import ExecuteMessage
from lastunit_node.frontend.orders import command_at
from lastunit_node.frontend.requests import command_of, parsed, timeout_of
from lastunit_node.frontend.wire import field, malformed, tag
from lastunit_node.statemachine import commands as cm
from lastunit_node.statemachine.brief import full
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_LINES, MAX_TICK

NAMES = st.one_of(st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True), st.text(max_size=70))
QUANTITIES = st.one_of(st.integers(1, 1_000_000), st.integers(-1, 1 << 40))
TICKS = st.one_of(st.integers(0, 100_000), st.integers(MAX_TICK - 1, MAX_TICK + 1), st.integers(-1, (1 << 63) - 1))
PLACES = st.one_of(
    st.just(0), st.integers(1, 1 << 40), st.integers(MAX_TICK - 1, MAX_TICK + 1), st.integers(0, (1 << 64) - 1)
)
TOKENS = st.builds(
    pb.FencingToken,
    term=PLACES,
    index=PLACES,
    position=st.integers(0, 5_000) | st.integers(0, (1 << 32) - 1),
)
LINES = st.lists(st.builds(pb.Line, sku=NAMES, quantity=QUANTITIES), max_size=3)
COMMANDS: st.SearchStrategy[pb.Command] = st.one_of(
    st.builds(pb.Command, place_order=st.builds(pb.PlaceOrderRequest, reservation_id=NAMES, lines=LINES)),
    st.builds(pb.Command, reserve=st.builds(pb.ReserveRequest, reservation_id=NAMES, lines=LINES, hold_ticks=TICKS)),
    st.builds(
        pb.Command,
        confirm=st.builds(pb.ConfirmRequest, reservation_id=NAMES, token=st.none() | TOKENS, lines=st.just([]) | LINES),
    ),
    st.builds(pb.Command, release=st.builds(pb.ReleaseRequest, reservation_id=NAMES, token=st.none() | TOKENS)),
    st.builds(
        pb.Command,
        extend_hold=st.builds(pb.ExtendHoldRequest, reservation_id=NAMES, token=st.none() | TOKENS, until_tick=TICKS),
    ),
    st.builds(pb.Command, receive_stock=st.builds(pb.ReceiveStockRequest, receipt_id=NAMES, lines=LINES)),
)
NANOS = st.one_of(st.just(0), st.integers(0, 999_999_999), st.integers(-(1 << 31), (1 << 31) - 1))

SOME_NAMES = st.from_regex(r"[A-Za-z0-9._:-]{1,20}", fullmatch=True)
SOME_LINES = st.dictionaries(SOME_NAMES, st.integers(1, 1_000_000), min_size=1, max_size=5)


def outer_request() -> Any:
    """ExecuteRequest, of which the commands are bytes whatever these are."""
    file = descriptor_pb2.FileDescriptorProto(name="outer.proto", package="tests")
    fields = file.message_type.add(name="OuterRequest").field
    sequence, commands = pb.ExecuteRequest.DESCRIPTOR.fields_by_name.values()
    fields.add(name="sequence", number=sequence.number, type="TYPE_UINT64", label="LABEL_OPTIONAL")
    fields.add(name="commands", number=commands.number, type="TYPE_BYTES", label="LABEL_REPEATED")
    (message,) = message_factory.GetMessages([file]).values()
    return message


@st.composite
def commands(draw: st.DrawFn) -> pb.Command:
    command = draw(COMMANDS)
    if draw(st.booleans()):
        command.timeout.seconds = draw(st.integers(-1, 100) | st.integers(-(1 << 63), (1 << 63) - 1))
        command.timeout.nanos = draw(NANOS)
    return command


OUTER = outer_request()

REQUESTS = st.builds(
    pb.ExecuteRequest, sequence=st.integers(0, (1 << 64) - 1), commands=st.lists(commands(), max_size=4)
)


def plain(name: str = "o-1", seconds: int = 3) -> pb.Command:
    command = pb.Command(place_order=pb.PlaceOrderRequest(reservation_id=name, lines=[pb.Line(sku="vase", quantity=2)]))
    command.timeout.FromSeconds(seconds)
    return command


def two_lines(hold_ticks: int = 300) -> pb.Command:
    lines = [pb.Line(sku="vase", quantity=2), pb.Line(sku="cup", quantity=1)]
    return pb.Command(reserve=pb.ReserveRequest(reservation_id="o-1", lines=lines, hold_ticks=hold_ticks))


def plain_reserve(hold_ticks: int = 300) -> pb.Command:
    lines = [pb.Line(sku="vase", quantity=2)]
    return pb.Command(reserve=pb.ReserveRequest(reservation_id="o-1", lines=lines, hold_ticks=hold_ticks))


def plain_confirm(position: int = 0) -> pb.Command:
    token = pb.FencingToken(term=3, index=1_000, position=position)
    return pb.Command(confirm=pb.ConfirmRequest(reservation_id="o-1", token=token))


def plain_release(position: int = 0) -> pb.Command:
    token = pb.FencingToken(term=3, index=1_000, position=position)
    return pb.Command(release=pb.ReleaseRequest(reservation_id="o-1", token=token))


def plain_extend_hold(until_tick: int = 300) -> pb.Command:
    token = pb.FencingToken(term=3, index=1_000, position=1)
    return pb.Command(extend_hold=pb.ExtendHoldRequest(reservation_id="o-1", token=token, until_tick=until_tick))


def by_protobuf(data: bytes) -> list[tuple[cm.Command, float] | str]:
    """What each position comes to: a command and its deadline, or what is wrong with it."""
    found: list[tuple[cm.Command, float] | str] = []
    for command in OUTER.FromString(data).commands:
        try:
            message = parsed(pb.Command, command)
            found.append((command_of(message), 5.0 + timeout_of(message)))
        except CallError as error:
            found.append(field(tag(pb.ExecuteResult, "error"), malformed(error)))
    return found


def by_bytes(data: bytes) -> list[tuple[cm.Command, float] | str]:
    message = ExecuteMessage(data, 5.0)
    good = iter(zip(map(full, message.commands), message.deadlines, strict=True))
    count = len(message.commands) + len(message._malformed)
    bad = message._malformed
    return [bad[position] if position in bad else next(good) for position in range(count)]


def without_protobuf(data: bytes) -> list[cm.Command]:
    """All commands of a message, none of which needs protobuf."""
    found, at = list[cm.Command](), 2 if data.startswith(b"\x08") else 0
    while at < len(data):
        command, _, at = command_at(data, at)
        assert command is not None
        found.append(full(command))
    return found


def written_by_both(encoded: bytes) -> list[bytes]:
    """A message with one command of the client's, as the client writes it and as protobuf does."""
    data = execute_request(1, [(encoded, b"")])
    return [data, pb.ExecuteRequest.FromString(data).SerializeToString()]


@given(REQUESTS)
def test_a_message_reads_as_protobuf_reads_it(request: pb.ExecuteRequest) -> None:
    data = request.SerializeToString()
    assert by_bytes(data) == by_protobuf(data)


@given(st.lists(commands(), min_size=1, max_size=2), st.data())
@example([plain()], None)
@example([plain_reserve()], None)
@example([two_lines()], None)
@example([plain_confirm(position=1)], None)
@example([plain_release(position=1)], None)
@example([plain_extend_hold()], None)
def test_so_do_bytes_of_which_one_was_changed(commands: list[pb.Command], data: st.DataObject | None) -> None:
    request = pb.ExecuteRequest(sequence=1, commands=commands).SerializeToString()
    if data is None:
        changes = [(place, byte) for place in range(len(request)) for byte in range(256)]
    else:
        changes = [(data.draw(st.integers(0, len(request) - 1)), data.draw(st.integers(0, 255)))]
    for place, byte in changes:
        reads_as_protobuf_does(request[:place] + bytes([byte]) + request[place + 1 :])


@pytest.mark.parametrize(
    "command",
    [plain(), plain_reserve(), two_lines(), plain_confirm(position=1), plain_release(position=1), plain_extend_hold()],
    ids=str,
)
def test_so_do_bytes_that_are_cut_off(command: pb.Command) -> None:
    request = pb.ExecuteRequest(commands=[command, command]).SerializeToString()
    for end in range(len(request)):
        reads_as_protobuf_does(request[:end])


@pytest.mark.parametrize(
    "number",
    [b"\x01", b"\x81\x00", *[b"\x81" + b"\x80" * more + b"\x00" for more in (7, 8, 9)], b"\x81\x80\x80\x80\x10"],
)
def test_so_do_numbers_of_more_bytes_or_bits_than_they_need(number: bytes) -> None:
    name = content(b"\x0a", b"o-1")
    line = content(b"\x12", content(b"\x0a", b"vase") + b"\x10" + number)
    token = content(b"\x12", b"\x08" + number + b"\x10" + number + b"\x18" + number)
    timeout = content(b"\x4a", b"\x08" + number + b"\x10" + number)
    for command in (
        content(b"\x0a", name + line),
        content(b"\x12", name + line + b"\x18" + number),
        content(b"\x1a", name + token),
        content(b"\x22", name + token),
        content(b"\x2a", name + token + b"\x18" + number),
    ):
        for after in (b"", timeout):
            reads_as_protobuf_does(execute_request(1, [(command, after)]))


@pytest.mark.parametrize("name", [content(b"\x0a", b""), b""])
def test_so_does_an_id_that_is_empty(name: bytes) -> None:
    line = content(b"\x12", content(b"\x0a", b"vase") + b"\x10\x01")
    token = content(b"\x12", b"\x08\x01\x10\x01")
    commands = [content(b"\x0a", name + line), content(b"\x12", name + line), content(b"\x22", name)]
    commands += [content(kind, name + token) for kind in (b"\x1a", b"\x22", b"\x2a")]
    for command in commands:
        reads_as_protobuf_does(execute_request(1, [(command, b"")]))


def reads_as_protobuf_does(data: bytes) -> None:
    """But where a command is none, which spoils its own position; only among fields that are not ours, the message."""
    try:
        expected = by_protobuf(data)
    except DecodeError:
        expected = None
    try:
        read = by_bytes(data)
    except CallError:
        with pytest.raises(CallError, match="cannot be read"):
            by_bytes(data)
        with pytest.raises(DecodeError):
            pb.ExecuteRequest.FromString(data)
    else:
        assert read == expected


def test_a_plain_order_does_without_protobuf() -> None:
    data = pb.ExecuteRequest(commands=[plain("a"), plain("b", seconds=100)]).SerializeToString()
    first, allowed, at = command_at(data, 0)
    assert first
    assert (full(first), allowed) == (cm.PlaceOrder("a", (cm.Line("vase", 2),)), 2.9)
    second, allowed, at = command_at(data, at)
    assert second
    assert (full(second), allowed, at) == (cm.PlaceOrder("b", (cm.Line("vase", 2),)), 60.0, len(data))


@given(SOME_NAMES, SOME_LINES)
def test_so_does_what_the_client_orders(name: str, line: Mapping[str, int]) -> None:
    for data in written_by_both(client.place_order(name, line)):
        assert without_protobuf(data) == [cm.PlaceOrder(name, tuple(cm.Line(*each) for each in line.items()))]


@given(SOME_NAMES, SOME_LINES, st.integers(0, MAX_TICK))
@example("o-1", {"vase": 1}, 0)
@example("o-1", {"vase": 1}, MAX_TICK)
def test_so_does_what_it_reserves(name: str, line: Mapping[str, int], hold_ticks: int) -> None:
    for data in written_by_both(client.reserve(name, line, hold_ticks)):
        assert without_protobuf(data) == [cm.Reserve(name, tuple(cm.Line(*each) for each in line.items()), hold_ticks)]


@given(SOME_NAMES, st.integers(0, MAX_TICK), st.integers(0, MAX_TICK), st.integers(0, (1 << 32) - 1))
@example("o-1", 0, 0, 0)
@example("o-1", 3, 1_000, 0)
@example("o-1", MAX_TICK, MAX_TICK, (1 << 32) - 1)
def test_so_does_what_it_confirms(name: str, term: int, index: int, position: int) -> None:
    for data in written_by_both(client.confirm(name, FencingToken(term, index, position), None)):
        assert without_protobuf(data) == [cm.Confirm(name, cm.FencingToken(term, index, position), ())]


@given(SOME_NAMES, st.none() | st.builds(FencingToken, *[st.integers(0, MAX_TICK)] * 2, st.integers(0, 4_095)))
@example("o-1", None)
@example("o-1", FencingToken(0, 0, 0))
def test_so_does_what_it_releases(name: str, token: FencingToken | None) -> None:
    expected = None if token is None else cm.FencingToken(token.term, token.index, token.position)
    for data in written_by_both(client.release(name, token)):
        assert without_protobuf(data) == [cm.Release(name, expected)]


@given(SOME_NAMES, st.integers(0, MAX_TICK), st.integers(0, MAX_TICK))
@example("o-1", 0, 0)
@example("o-1", MAX_TICK, MAX_TICK)
def test_so_does_what_it_extends(name: str, index: int, until_tick: int) -> None:
    for data in written_by_both(client.extend_hold(name, FencingToken(3, index, 1), until_tick)):
        assert without_protobuf(data) == [cm.ExtendHold(name, cm.FencingToken(3, index, 1), until_tick)]


@pytest.mark.parametrize(
    "encoded",
    [
        client.place_order("o-1", {f"vase-{number}": 1 for number in range(MAX_LINES + 1)}),
        client.place_order("o-1", {}),
        client.reserve("o-1", {"vase": 1}, MAX_TICK + 1),
        client.confirm("o-1", FencingToken(3, 1_000, 0), {"vase": 1}),
        client.confirm("o-1", FencingToken(3, MAX_TICK + 1, 0), None),
        client.release("o-1", FencingToken(3, MAX_TICK + 1, 0)),
        client.extend_hold("o-1", FencingToken(3, 1_000, 0), MAX_TICK + 1),
        client.extend_hold("o-1", FencingToken(3, 1_000, 0), -1),
        client.place_order("o" * 65, {"vase": 1}),
        client.place_order("o-1", {"vase": 1_000_001}),
    ],
)
def test_what_has_more_parts_or_breaks_a_limit_is_left_to_protobuf(encoded: bytes) -> None:
    for data in written_by_both(encoded):
        assert command_at(data, 2)[0] is None


@pytest.mark.interpreted
def test_a_command_with_more_parts_leaves_the_others_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its own bytes are protobuf's to read."""
    read = list[str]()

    def counted(command: pb.Command) -> cm.Command:
        read.append(command.place_order.reservation_id)
        return command_of(command)

    monkeypatch.setattr(execute_message, "command_of", counted)
    lines = [pb.Line(sku=f"vase-{number}", quantity=1) for number in range(100)]
    larger = pb.Command(place_order=pb.PlaceOrderRequest(reservation_id="o" * 64, lines=lines))
    larger = pb.Command.FromString(larger.SerializeToString() + b"\xa0\x06\x01")  # and a field that nobody knows
    malformed = pb.Command(place_order=pb.PlaceOrderRequest(reservation_id="no line"))
    commands = [plain("a"), larger, plain("b"), malformed, plain("c")]
    taken = ExecuteMessage(pb.ExecuteRequest(sequence=7, commands=commands).SerializeToString(), 0.0)

    assert read == ["o" * 64, "no line"]
    orders = [order for order in map(full, taken.commands) if isinstance(order, cm.PlaceOrder)]
    assert [order.reservation_id for order in orders] == ["a", "o" * 64, "b", "c"]
    assert list(taken._malformed) == [3]


def test_commands_are_counted_whatever_they_are() -> None:
    malformed = pb.Command()
    data = pb.ExecuteRequest(commands=[malformed, plain()] * (MAX_COMMANDS // 2)).SerializeToString()
    assert len(ExecuteMessage(data, 0.0).commands) == MAX_COMMANDS // 2
    with pytest.raises(CallError, match=f"commands: must be at most {MAX_COMMANDS}, are {MAX_COMMANDS + 1}"):
        ExecuteMessage(data + pb.ExecuteRequest(commands=[malformed]).SerializeToString(), 0.0)


def test_what_comes_twice_counts_as_protobuf_counts_it() -> None:
    halves = [pb.ExecuteRequest(sequence=number, commands=[plain(str(number))]) for number in (1, 2)]
    data = b"".join(half.SerializeToString() for half in halves)
    assert by_bytes(data) == by_protobuf(data)
    assert ExecuteMessage(data, 0.0)._sequence == 2
