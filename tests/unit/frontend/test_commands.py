"""Every command over a real channel: what the replica gets, what the caller gets, and which field is at fault."""

from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend import FrontEnd
from lastunit_node.frontend.responses import PUBLIC
from lastunit_node.replica.interface import FailureReason
from lastunit_node.statemachine import commands as cm
from lastunit_node.statemachine.limits import MAX_LINES, MAX_TICK
from lastunit_node.statemachine.results import Outcome, Reservation, ReservationState, Result, Shortage

from .errors_of_calls import error_of
from .fakes import FakeReplica, until

if TYPE_CHECKING:
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

LINE = pb.Line(sku="vase", quantity=2)
TOKEN = pb.FencingToken(term=3, index=9, position=1)
RANGES = [pb.UnitRange(first=1, last=2), pb.UnitRange(first=5, last=5)]
CM_LINES = (cm.Line("vase", 2),)
CM_TOKEN = cm.FencingToken(3, 9, 1)
CM_RANGES = (cm.UnitRange(1, 2), cm.UnitRange(5, 5))

VALID: dict[str, tuple[Any, cm.Command, "pb.Outcome.ValueType"]] = {
    "PlaceOrder": (
        pb.PlaceOrderRequest(reservation_id="o", lines=[LINE]),
        cm.PlaceOrder("o", CM_LINES),
        pb.OUTCOME_ORDER_PLACED,
    ),
    "Reserve": (
        pb.ReserveRequest(reservation_id="o", lines=[LINE], hold_ticks=5),
        cm.Reserve("o", CM_LINES, 5),
        pb.OUTCOME_RESERVED,
    ),
    "Confirm": (
        pb.ConfirmRequest(reservation_id="o", token=TOKEN, lines=[LINE]),
        cm.Confirm("o", CM_TOKEN, CM_LINES),
        pb.OUTCOME_CONFIRMED,
    ),
    "Release": (pb.ReleaseRequest(reservation_id="o", token=TOKEN), cm.Release("o", CM_TOKEN), pb.OUTCOME_RELEASED),
    "ExtendHold": (
        pb.ExtendHoldRequest(reservation_id="o", token=TOKEN, until_tick=70),
        cm.ExtendHold("o", CM_TOKEN, 70),
        pb.OUTCOME_EXTENDED,
    ),
    "ReceiveStock": (
        pb.ReceiveStockRequest(receipt_id="r", lines=[LINE]),
        cm.ReceiveStock("r", CM_LINES),
        pb.OUTCOME_RECEIVED,
    ),
    "AdjustStock": (
        pb.AdjustStockRequest(adjustment_id="a", sku="vase", ranges=RANGES, reason="chipped"),
        cm.AdjustStock("a", "vase", 0, CM_RANGES, "chipped"),
        pb.OUTCOME_ADJUSTED,
    ),
    "ReturnUnits": (
        pb.ReturnUnitsRequest(return_id="t", reservation_id="o", lines=[pb.UnitLine(sku="vase", ranges=RANGES)]),
        cm.ReturnUnits("t", "o", (cm.UnitLine("vase", CM_RANGES),)),
        pb.OUTCOME_RETURNED,
    ),
}

MALFORMED: list[tuple[str, Any, str]] = [
    ("PlaceOrder", pb.PlaceOrderRequest(lines=[LINE]), "reservation_id"),
    ("PlaceOrder", pb.PlaceOrderRequest(reservation_id="o x", lines=[LINE]), "reservation_id"),
    ("PlaceOrder", pb.PlaceOrderRequest(reservation_id="o"), "lines"),
    ("PlaceOrder", pb.PlaceOrderRequest(reservation_id="o", lines=[LINE] * (MAX_LINES + 1)), "lines"),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(reservation_id="o", lines=[LINE, pb.Line(sku="a b", quantity=1)]),
        "lines[1].sku",
    ),
    ("Reserve", pb.ReserveRequest(reservation_id="o", lines=[LINE, LINE, pb.Line(sku="a")]), "lines[2].quantity"),
    ("Reserve", pb.ReserveRequest(reservation_id="o", lines=[LINE], hold_ticks=-1), "hold_ticks"),
    ("Confirm", pb.ConfirmRequest(reservation_id="o"), "token"),
    ("Confirm", pb.ConfirmRequest(reservation_id="o", token=pb.FencingToken(term=MAX_TICK + 1)), "token.term"),
    ("Release", pb.ReleaseRequest(reservation_id="o", token=pb.FencingToken(index=MAX_TICK + 1)), "token.index"),
    ("ExtendHold", pb.ExtendHoldRequest(reservation_id="o", until_tick=1), "token"),
    ("ExtendHold", pb.ExtendHoldRequest(reservation_id="o", token=TOKEN, until_tick=-1), "until_tick"),
    (
        "ReceiveStock",
        pb.ReceiveStockRequest(receipt_id="r", lines=[pb.Line(sku="a", quantity=1_000_001)]),
        "lines[0].quantity",
    ),
    ("AdjustStock", pb.AdjustStockRequest(adjustment_id="a", sku="vase"), "quantity"),
    ("AdjustStock", pb.AdjustStockRequest(adjustment_id="a", sku="vase", quantity=1, ranges=RANGES), "quantity"),
    ("AdjustStock", pb.AdjustStockRequest(adjustment_id="a", sku="vase", quantity=1, reason="é" * 129), "reason"),
    ("ReturnUnits", pb.ReturnUnitsRequest(return_id="t", reservation_id="o"), "lines"),
    (
        "ReturnUnits",
        pb.ReturnUnitsRequest(
            return_id="t",
            reservation_id="o",
            lines=[pb.UnitLine(sku="vase", ranges=[pb.UnitRange(first=2, last=1)])],
        ),
        "lines[0].ranges[0].last",
    ),
]


@pytest.mark.parametrize("method", VALID)
async def test_a_command_reaches_the_log_and_its_result_the_caller(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica, method: str
) -> None:
    request, command, outcome = VALID[method]
    response = await getattr(inventory, method)(request)
    assert replica.proposals[0].commands == (command,)
    assert response.result.outcome == outcome
    assert (response.result.result_index, response.result.applied_index) == (1, 1)


async def test_a_release_without_a_token_is_well_formed(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    await inventory.Release(pb.ReleaseRequest(reservation_id="o"))
    assert replica.proposals[0].commands == (cm.Release("o", None),)


@pytest.mark.parametrize(("method", "request_", "field"), MALFORMED)
async def test_a_malformed_request_names_its_field_and_is_not_proposed(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica, method: str, request_: Any, field: str
) -> None:
    error = await error_of(getattr(inventory, method)(request_))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert error.fields == [field]
    (problem,) = error.problems
    assert error.message == f"{field}: {problem}"  # so the problem does not name it again
    assert (error.reason, error.domain, error.definite) == ("INVALID_ARGUMENT", "lastunit", "true")
    assert not replica.proposals


async def test_every_part_of_a_result_is_passed_on(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    token = cm.FencingToken(3, 4, 5)
    units = (cm.UnitLine("vase", (cm.UnitRange(1, 2), cm.UnitRange(4, 4))),)
    reservation = Reservation("o", ReservationState.HELD, token, 7, 107, (cm.Line("vase", 3),), units)
    shortages = (Shortage("plate", 3, 1),)
    replica.answer = lambda command, index, place: Result(
        Outcome.RESERVED, 4, token, 107, units, shortages, True, reservation
    )
    response = await inventory.Reserve(pb.ReserveRequest(reservation_id="o", lines=[LINE]))
    proto_token = pb.FencingToken(term=3, index=4, position=5)
    proto_units = [pb.UnitLine(sku="vase", ranges=[pb.UnitRange(first=1, last=2), pb.UnitRange(first=4, last=4)])]
    assert response.result == pb.CommandResult(
        outcome=pb.OUTCOME_RESERVED,
        replayed=True,
        result_index=4,
        applied_index=1,
        token=proto_token,
        expires_at_tick=107,
        units=proto_units,
        shortages=[pb.Shortage(sku="plate", requested=3, available=1)],
        reservation=pb.Reservation(
            reservation_id="o",
            state=pb.RESERVATION_STATE_HELD,
            token=proto_token,
            created_at_tick=7,
            expires_at_tick=107,
            lines=[pb.Line(sku="vase", quantity=3)],
            units=proto_units,
        ),
    )


@pytest.mark.parametrize(
    ("outcome", "code", "reason"),
    [
        (Outcome.NOT_CONFIGURED, grpc.StatusCode.UNAVAILABLE, "NOT_CONFIGURED"),
        (Outcome.MALFORMED, grpc.StatusCode.INTERNAL, "INTERNAL"),
        (Outcome.TICKED, grpc.StatusCode.INTERNAL, "INTERNAL"),
        (Outcome.CLOCK_MISMATCH, grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_internal_outcomes_never_leave_as_answers(
    inventory: "InventoryServiceAsyncStub",
    replica: FakeReplica,
    outcome: Outcome,
    code: grpc.StatusCode,
    reason: str,
) -> None:
    replica.answer = lambda command, index, place: Result(outcome, index)
    error = await error_of(inventory.PlaceOrder(VALID["PlaceOrder"][0]))
    assert (error.code, error.reason, error.definite) == (code.value[0], reason, "true")


async def test_a_command_that_fails_for_a_bug_may_have_been_applied(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica, caplog: pytest.LogCaptureFixture
) -> None:
    replica.answer = lambda command, index, place: cast("Result", object())
    error = await error_of(inventory.PlaceOrder(VALID["PlaceOrder"][0]))
    assert (error.reason, error.definite) == ("INTERNAL", "false")
    assert "may have been applied" in error.message
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("outcome", sorted(PUBLIC))
async def test_outcomes_have_the_same_names_and_numbers_on_the_wire(outcome: Outcome) -> None:
    assert pb.Outcome.Name(outcome) == f"OUTCOME_{outcome.name}"  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ReservationState)
async def test_states_have_the_same_names_and_numbers_on_the_wire(state: ReservationState) -> None:
    assert pb.ReservationState.Name(state) == f"RESERVATION_STATE_{state.name}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "code", "definite"),
    [
        (FailureReason.NO_LEADER, grpc.StatusCode.UNAVAILABLE, "true"),
        (FailureReason.TIMED_OUT, grpc.StatusCode.DEADLINE_EXCEEDED, "false"),
    ],
)
async def test_the_error_leaves_before_the_callers_own_deadline(
    inventory: "InventoryServiceAsyncStub",
    replica: FakeReplica,
    reason: FailureReason,
    code: grpc.StatusCode,
    definite: str,
) -> None:
    replica.always = reason
    error = await error_of(inventory.PlaceOrder(VALID["PlaceOrder"][0], timeout=1.0))
    assert (error.code, error.reason, error.definite) == (code.value[0], reason.value, definite)
    assert error.domain == "lastunit"


async def test_a_request_that_is_too_large_is_refused(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    padded = (
        VALID["PlaceOrder"][0].SerializeToString() + b"\xfa\x7f\x80\x80\x40" + bytes(1 << 20)
    )  # a field from the future
    error = await error_of(inventory.PlaceOrder(pb.PlaceOrderRequest.FromString(padded)))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], ["PlaceOrderRequest"])
    assert not replica.proposals


async def test_a_call_its_caller_gave_up_is_not_proposed(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica, front_end: FrontEnd
) -> None:
    replica.hold()
    first = inventory.PlaceOrder(VALID["PlaceOrder"][0])
    await replica.proposed(1)
    given_up = inventory.Reserve(VALID["Reserve"][0])
    await until(lambda: bool(front_end._batcher._queue))
    given_up.cancel()
    await until(lambda: not front_end._batcher._queue)
    replica.let_go()
    await first
    await inventory.Release(VALID["Release"][0])
    assert [proposal.commands for proposal in replica.proposals] == [
        (VALID["PlaceOrder"][1],),
        (VALID["Release"][1],),
    ]
