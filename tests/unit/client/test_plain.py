"""Outcome and token that are read off the bytes of an answer are what protobuf reads, or none."""

from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from lastunit.v1 import inventory_pb2 as pb
from lastunit_client.plain import plain_outcome, plain_token

NUMBERS = st.one_of(st.integers(0, 200), st.integers(0, (1 << 63) - 1))
TOKENS = st.builds(pb.FencingToken, term=NUMBERS, index=NUMBERS, position=st.integers(0, (1 << 32) - 1))
UNITS = st.builds(
    pb.UnitLine,
    sku=st.text(max_size=70),
    ranges=st.lists(st.builds(pb.UnitRange, first=NUMBERS, last=NUMBERS), max_size=20),
)
RESULTS = st.builds(
    pb.CommandResult,
    outcome=st.integers(0, 300),
    replayed=st.booleans(),
    result_index=NUMBERS,
    applied_index=NUMBERS,
    token=st.none() | TOKENS,
    expires_at_tick=NUMBERS,
    units=st.lists(UNITS, max_size=2),
    shortages=st.lists(st.builds(pb.Shortage, sku=st.text(max_size=9), requested=NUMBERS), max_size=1),
    reservation=st.none() | st.builds(pb.Reservation, reservation_id=st.text(max_size=9)),
)
PLAIN = pb.CommandResult(
    outcome=pb.OUTCOME_ORDER_PLACED,
    result_index=70_000,
    applied_index=70_001,
    token=pb.FencingToken(term=2, index=70_000, position=3),
    units=[pb.UnitLine(sku="vase", ranges=[pb.UnitRange(first=300, last=300)])],
)


def check(data: bytes) -> None:
    outcome = plain_outcome(data)
    if not outcome:
        return
    result = pb.ExecuteResult.FromString(data).result
    assert result.outcome == outcome
    assert not result.replayed
    assert not result.shortages
    assert not result.HasField("reservation")
    token = (result.token.term, result.token.index, result.token.position) if result.HasField("token") else None
    assert plain_token(data) == token


@given(RESULTS)
def test_what_is_read_is_what_protobuf_reads(result: pb.CommandResult) -> None:
    check(pb.ExecuteResult(result=result).SerializeToString())


@given(RESULTS, st.data())
@example(PLAIN, None)
def test_so_it_is_of_bytes_of_which_one_was_changed(result: pb.CommandResult, data: st.DataObject | None) -> None:
    encoded = pb.ExecuteResult(result=result).SerializeToString()
    if data is None:
        changes = [(place, byte) for place in range(len(encoded)) for byte in range(256)]
    else:
        changes = [(data.draw(st.integers(0, max(0, len(encoded) - 1))), data.draw(st.integers(0, 255)))]
    for place, byte in changes:
        check(encoded[:place] + bytes([byte]) + encoded[place + 1 :])


@given(st.binary(max_size=80))
def test_any_bytes_may_come(data: bytes) -> None:
    try:
        pb.ExecuteResult.FromString(data)
    except DecodeError:
        assert plain_outcome(data) == 0
    else:
        check(data)


def test_the_usual_answers_do_without_protobuf() -> None:
    placed = pb.ExecuteResult(result=PLAIN).SerializeToString()
    confirmed = pb.ExecuteResult(result=pb.CommandResult(outcome=pb.OUTCOME_CONFIRMED, result_index=1, applied_index=1))

    assert plain_outcome(placed) == pb.OUTCOME_ORDER_PLACED
    assert plain_token(placed) == (2, 70_000, 3)
    assert plain_outcome(confirmed.SerializeToString()) == pb.OUTCOME_CONFIRMED
    assert all(plain_outcome(placed[:size]) == 0 for size in range(len(placed)))


def test_an_answer_that_shows_a_reservation_is_left_to_protobuf() -> None:
    shown = pb.CommandResult(outcome=pb.OUTCOME_RESERVED, reservation=pb.Reservation(reservation_id="r"))

    assert plain_outcome(pb.ExecuteResult(result=shown).SerializeToString()) == 0
