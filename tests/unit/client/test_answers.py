"""Answers: most of one is read when it is first looked at, and nobody can tell."""

import copy
import pickle
import threading
import weakref
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from lastunit.v1 import inventory_pb2
from lastunit_client import (
    CommandResult,
    FencingToken,
    Line,
    Outcome,
    ProtocolError,
    Reservation,
    ReservationState,
    Shortage,
    UnitLine,
    UnitRange,
    answers,
)

UNITS = (UnitLine("VASE", (UnitRange(3, 3), UnitRange(7, 9))), UnitLine("LAMP", (UnitRange(1, 1),)))
RESERVED = CommandResult(
    request_id="r1",
    outcome=Outcome.RESERVED,
    replayed=False,
    result_index=57,
    applied_index=60,
    token=FencingToken(2, 57, 3),
    expires_at_tick=99,
    units=UNITS,
    shortages=(),
    reservation=None,
)


def reserved() -> CommandResult:
    """RESERVED, as it comes from a node; nothing of it was looked at."""
    return answer(message())


def answer(result: inventory_pb2.CommandResult) -> CommandResult:
    return answers.command_result("r1", inventory_pb2.ExecuteResult(result=result).SerializeToString())


def message() -> inventory_pb2.CommandResult:
    units = [
        inventory_pb2.UnitLine(
            sku=line.sku, ranges=[inventory_pb2.UnitRange(first=each.first, last=each.last) for each in line.ranges]
        )
        for line in UNITS
    ]
    return inventory_pb2.CommandResult(
        outcome=inventory_pb2.OUTCOME_RESERVED,
        result_index=57,
        applied_index=60,
        token=inventory_pb2.FencingToken(term=2, index=57, position=3),
        expires_at_tick=99,
        units=units,
    )


@pytest.mark.parametrize("name", [field.name for field in fields(CommandResult)])
def test_every_field_may_be_the_first_that_is_looked_at(name: str) -> None:
    result = reserved()
    assert getattr(result, name) == getattr(RESERVED, name)
    assert result == RESERVED


@pytest.mark.parametrize(
    "look",
    [
        hash,
        repr,
        asdict,
        lambda result: result.accepted,
        lambda result: result == RESERVED,
        lambda result: pickle.loads(pickle.dumps(result)),
        copy.copy,
        copy.deepcopy,
        lambda result: replace(result, replayed=True),
    ],
)
def test_a_result_is_the_value_that_it_says(look: Callable[[CommandResult], object]) -> None:
    assert look(reserved()) == look(RESERVED)


def test_a_result_cannot_be_changed() -> None:
    result = reserved()
    with pytest.raises(FrozenInstanceError):
        result.outcome = Outcome.RELEASED  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        result.units = ()  # type: ignore[misc]
    assert result == RESERVED


@pytest.mark.parametrize("result", [reserved(), RESERVED])
def test_what_is_no_field_is_an_attribute_error(result: CommandResult) -> None:
    with pytest.raises(AttributeError, match="quantity"):
        result.quantity  # type: ignore[attr-defined]  # noqa: B018
    assert result == RESERVED


def test_threads_may_look_at_one_result_at_once() -> None:
    for _ in range(200):
        result, start, seen = reserved(), threading.Barrier(3), list[object]()

        def look(result: CommandResult = result, start: threading.Barrier = start, seen: list[object] = seen) -> None:
            start.wait()
            seen.append((result.units, result.token))

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [(RESERVED.units, RESERVED.token)] * 3


def test_a_result_that_was_looked_at_does_not_keep_what_it_was_read_from() -> None:
    result = reserved()
    unread = weakref.ref(object.__getattribute__(result, "_fill"))
    assert unread() is not None
    assert result.units == RESERVED.units
    assert unread() is None


def test_a_refusal_shows_what_fell_short_and_what_stands() -> None:
    refused = inventory_pb2.CommandResult(
        outcome=inventory_pb2.OUTCOME_OUT_OF_STOCK,
        replayed=True,
        applied_index=60,
        shortages=[inventory_pb2.Shortage(sku="VASE", requested=2, available=1)],
        reservation=inventory_pb2.Reservation(
            reservation_id="r1",
            state=inventory_pb2.RESERVATION_STATE_RELEASED,
            created_at_tick=5,
            lines=[inventory_pb2.Line(sku="VASE", quantity=2)],
        ),
    )
    result = answer(refused)
    assert (result.outcome, result.replayed, result.token) == (Outcome.OUT_OF_STOCK, True, None)
    assert result.shortages == (Shortage("VASE", 2, 1),)
    assert result.reservation == Reservation(
        "r1", ReservationState.RELEASED, None, 5, 0, (Line("VASE", 2),), (), applied_index=60
    )


def test_a_state_that_is_unknown_is_said_at_once() -> None:
    newer = message()
    newer.reservation.state = inventory_pb2.ReservationState.ValueType(99)
    with pytest.raises(ProtocolError) as caught:
        answer(newer)
    assert not caught.value.definite


def test_an_answer_that_is_damaged_is_an_error_of_that_command_alone() -> None:
    encoded = inventory_pb2.ExecuteResult(result=message()).SerializeToString()
    with pytest.raises(ProtocolError, match="unexpected answer") as caught:
        answers.command_result("r1", encoded[:-1])
    assert (caught.value.definite, caught.value.request_id) == (False, "r1")
