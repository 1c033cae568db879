"""What is written by hand is what protobuf would have written: a parser finds the same message."""

import pytest
from google.protobuf.descriptor_pb2 import EnumDescriptorProto
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import invalid_argument
from lastunit_node.frontend.responses import PUBLIC, fill_reservation
from lastunit_node.frontend.wire import ResultWriter, malformed, varint
from lastunit_node.statemachine.commands import FencingToken, Line, UnitLine, UnitRange
from lastunit_node.statemachine.results import (
    NO_TOKEN,
    Answer,
    Outcome,
    Position,
    Reservation,
    ReservationState,
    Result,
    Served,
    Shortage,
)

NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, (1 << 62)))
NAMES = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
TOKENS = st.builds(FencingToken, NUMBERS, NUMBERS, st.integers(0, 4_095))
UNITS = st.lists(
    st.builds(UnitLine, NAMES, st.lists(st.builds(UnitRange, NUMBERS, NUMBERS), max_size=20).map(tuple)), max_size=3
).map(tuple)
RESERVATIONS = st.builds(
    Reservation,
    NAMES,
    st.sampled_from(ReservationState),
    st.none() | TOKENS,
    NUMBERS,
    NUMBERS,
    st.lists(st.builds(Line, NAMES, NUMBERS), max_size=2).map(tuple),
    UNITS,
)
RESULTS = st.builds(
    Result,
    st.sampled_from(sorted(PUBLIC)),
    NUMBERS,
    st.none() | TOKENS,
    NUMBERS,
    UNITS,
    st.lists(st.builds(Shortage, NAMES, NUMBERS, NUMBERS), max_size=3).map(tuple),
    st.booleans(),
    st.none() | RESERVATIONS,
)
SERVED = st.builds(
    Served,
    st.builds(Position, NUMBERS, NUMBERS, st.integers(0, 4_095), NUMBERS),
    st.sampled_from(sorted(PUBLIC)),
    st.just(NO_TOKEN) | NUMBERS,
    NAMES,
    NUMBERS,
    NUMBERS,
)
RESPONSES = [
    message
    for name, message in vars(pb).items()
    if name.endswith("Response") and "result" in message.DESCRIPTOR.fields_by_name
]


def by_protobuf(result: Result, applied_index: int) -> pb.CommandResult:
    message = pb.CommandResult(
        outcome=pb.Outcome.ValueType(result.outcome),
        replayed=result.replayed,
        result_index=result.index,
        applied_index=applied_index,
        token=result.token and pb.FencingToken(**result.token._asdict()),
        expires_at_tick=result.expires_at_tick,
        shortages=[pb.Shortage(**shortage._asdict()) for shortage in result.shortages],
    )
    for sku, ranges in result.units:
        message.units.add(sku=sku, ranges=[pb.UnitRange(first=first, last=last) for first, last in ranges])
    if result.reservation:
        fill_reservation(message.reservation, result.reservation)
    return message


@given(st.lists(RESULTS | SERVED, min_size=1, max_size=4), NUMBERS)
def test_a_result_reads_as_protobuf_would_have_written_it(answers: list[Answer], applied_index: int) -> None:
    writer = ResultWriter(applied_index)  # keeps what results have in common, so one for all of them
    for answer in answers:
        result = answer.result() if isinstance(answer, Served) else answer
        written = pb.ExecuteResult.FromString(writer.field(answer).encode("latin-1"))
        assert written == pb.ExecuteResult(result=by_protobuf(result, applied_index))


@pytest.mark.parametrize("response", RESPONSES)
def test_every_commands_response_has_its_result_in_one_place(response: type[pb.PlaceOrderResponse]) -> None:
    result = Result(min(PUBLIC), 7, FencingToken(3, 7, 1))
    written = ResultWriter(9).field(result).encode("latin-1")
    assert response.FromString(written) == response(result=by_protobuf(result, 9))


def test_all_commands_are_among_them() -> None:
    assert len(RESPONSES) == len(pb.Command.DESCRIPTOR.oneofs_by_name["command"].fields)


@given(st.integers(0, (1 << 64) - 1))
def test_a_number_is_as_short_as_protobuf_writes_it(number: int) -> None:
    assert varint(number).encode("latin-1") == pb.ExecuteRequest(sequence=number).SerializeToString()[1:] or number == 0


@given(st.text(min_size=1), st.text(min_size=1))
def test_so_does_what_is_wrong_with_a_command(field: str, problem: str) -> None:
    error = invalid_argument(field, problem)
    assert Status.FromString(malformed(error).encode("latin-1")) == error.status()


def test_outcomes_that_nodes_keep_to_themselves_never_mean_something_else_in_the_api() -> None:
    api = EnumDescriptorProto()
    pb.Outcome.DESCRIPTOR.CopyToProto(api)
    reserved = {number for each in api.reserved_range for number in range(each.start, each.end + 1)}
    assert reserved == set(Outcome) - PUBLIC
    assert {f"OUTCOME_{each.name}": each.value for each in PUBLIC} == dict(pb.Outcome.items()[1:])
