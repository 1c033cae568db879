"""The pure parts: time per attempt, waits, the order of nodes, and what a status means."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from lastunit_client import DeadlineError, UnavailableError
from lastunit_client.failures import Failure, of_rpc_error, of_status
from lastunit_client.nodes import NodePool
from lastunit_client.retry import Attempts, attempt_end

from .fake_node import bad_request, error, retry_info

UNAVAILABLE = Failure(StatusCode.UNAVAILABLE, "no quorum", definite=True)
SILENT = Failure(StatusCode.DEADLINE_EXCEEDED, "silent", definite=False)


def attempts(deadline: float = 10.0, draw: float = 1.0) -> Attempts:
    return Attempts(deadline, lambda: draw)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


# Attempts.


@pytest.mark.parametrize(("now", "end"), [(0.0, 3.0), (3.0, 6.0), (6.0, 8.0), (9.0, 9.5), (9.6, 10.0)])
def test_an_attempt_leaves_time_for_another_node_unless_little_is_left(now: float, end: float) -> None:
    assert attempt_end(now, 10.0, 3.0) == pytest.approx(end)


def test_waits_double_up_to_a_second() -> None:
    call = attempts(deadline=1000.0)
    waits = [call.wait_after(UNAVAILABLE, 0.0) for _ in range(8)]
    assert waits == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_waits_are_jittered_down_to_nothing() -> None:
    assert attempts(draw=0.0).wait_after(UNAVAILABLE, 0.0) == 0.0


def test_a_call_without_end_goes_on_after_thousands_of_attempts() -> None:
    call = attempts(deadline=1e9)
    assert [call.wait_after(UNAVAILABLE, 0.0) for _ in range(3_000)][-1] == 1.0


def test_retry_info_is_the_least_wait() -> None:
    busy = Failure(StatusCode.RESOURCE_EXHAUSTED, "busy", definite=True, retry_after=2.0)
    assert attempts(draw=0.0).wait_after(busy, 0.0) == 2.0


def test_a_wait_beyond_the_deadline_ends_the_call_now() -> None:
    busy = Failure(StatusCode.RESOURCE_EXHAUSTED, "busy", definite=True, retry_after=20.0)
    assert attempts().wait_after(busy, 0.0) is None


def test_the_error_is_definite_only_if_every_attempt_was() -> None:
    call = attempts()
    call.wait_after(UNAVAILABLE, 0.0)
    assert call.error(UNAVAILABLE, "n1", "id").definite
    call.wait_after(SILENT, 0.0)
    call.wait_after(UNAVAILABLE, 0.0)
    raised = call.error(UNAVAILABLE, "n1", "id")
    assert isinstance(raised, UnavailableError)
    assert str(raised).startswith(
        "UNAVAILABLE from n1 (attempt 3): no quorum; but an earlier attempt may have been applied"
    )
    assert not raised.definite
    assert isinstance(call.error(SILENT, "n1", "id"), DeadlineError)


def consequence(definite: bool, reason: str = "", request_id: str | None = "id") -> str:
    """What the error of a call with one attempt says after the attempt's own words."""
    call, failure = attempts(), Failure(StatusCode.UNAVAILABLE, "ended", definite, reason)
    call.wait_after(failure, 0.0)
    return str(call.error(failure, "n1", request_id)).removeprefix("UNAVAILABLE from n1: ended")


def test_the_error_of_a_command_says_whether_it_may_have_been_applied_unless_the_node_does() -> None:
    assert consequence(definite=False).startswith("; the command may have been applied: call again with the same id")
    assert consequence(definite=True) == "; nothing was applied"
    assert not consequence(definite=False, reason="DEADLINE")


def test_the_error_of_a_query_speaks_of_no_command() -> None:
    assert not consequence(definite=False, request_id=None)


# NodePool.


def test_a_node_is_kept_while_it_works() -> None:
    pool = NodePool(["n1", "n2", "n3"], Clock())
    assert [pool.pick() for _ in range(3)] == ["n1"] * 3


def test_a_failed_node_goes_to_the_back_and_does_not_come_back_by_itself() -> None:
    clock = Clock()
    pool = NodePool(["n1", "n2", "n3"], clock)
    pool.failed("n1")
    assert pool.pick() == "n2"
    clock.now += 60.0
    assert pool.pick() == "n2"
    pool.failed("n2")
    assert pool.pick() == "n3"
    pool.failed("n3")
    assert pool.pick() == "n1"


def test_a_call_goes_elsewhere_than_where_it_failed() -> None:
    pool = NodePool(["n1", "n2"], Clock())
    assert pool.pick(avoid="n1") == "n2"
    assert pool.pick() == "n1"


def test_when_all_fail_the_one_that_rested_longest_is_next() -> None:
    clock = Clock()
    pool = NodePool(["n1", "n2", "n3"], clock)
    for endpoint in ("n2", "n1", "n3"):
        pool.failed(endpoint)
        clock.now += 0.1
    assert pool.pick() == "n2"
    assert pool.pick(avoid="n2") == "n1"


def test_a_single_node_is_asked_again() -> None:
    pool = NodePool(["n1"], Clock())
    pool.failed("n1")
    assert pool.pick(avoid="n1") == "n1"


# Failures.


def test_a_status_without_details_is_indefinite() -> None:
    assert of_status(error(StatusCode.UNAVAILABLE, "gone")) == Failure(StatusCode.UNAVAILABLE, "gone", definite=False)


def test_details_are_read_whatever_stands_between_them() -> None:
    strange = ParseDict({"code": 5, "message": "?"}, status_pb2.Status())
    status = error(StatusCode.RESOURCE_EXHAUSTED, "full", definite=True, details=[strange, retry_info(0.25)])
    assert of_status(status) == Failure(
        StatusCode.RESOURCE_EXHAUSTED, "full", definite=True, reason="TESTED", retry_after=0.25
    )


@pytest.mark.parametrize(
    ("seconds", "nanos", "wait"), [(-5, 0, 0.0), (0, -1, 0.0), (10**18, 0, 1e18), (0, 2 * 10**9, 2.0)]
)
def test_no_retry_info_is_too_strange(seconds: int, nanos: int, wait: float) -> None:
    """Not even one that is no time: below zero there would be no wait between attempts."""
    info = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
    assert of_status(error(StatusCode.RESOURCE_EXHAUSTED, "full", details=[info])).retry_after == wait


def test_a_bad_request_names_the_field_and_is_definite() -> None:
    status = error(StatusCode.INVALID_ARGUMENT, "bad", details=[bad_request("lines", "is empty")])
    failure = of_status(status)
    assert (failure.field, failure.message, failure.definite) == ("lines", "is empty", True)


def test_a_code_from_the_future_is_unknown() -> None:
    assert of_status(status_pb2.Status(code=77)).code is StatusCode.UNKNOWN


def test_a_bad_request_that_names_no_field_is_one_all_the_same() -> None:
    status = error(StatusCode.INVALID_ARGUMENT, "bad", details=[error_details_pb2.BadRequest()])
    assert of_status(status) == Failure(StatusCode.INVALID_ARGUMENT, "bad", definite=True)


def test_details_are_found_among_other_metadata() -> None:
    full = error(StatusCode.RESOURCE_EXHAUSTED, "full", definite=True, details=[retry_info(0.25)])
    others = status_pb2.Status(code=5, message="not this one").SerializeToString()
    trailing = grpc.aio.Metadata(("other-bin", others), ("grpc-status-details-bin", full.SerializeToString()))
    raised = grpc.aio.AioRpcError(StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), trailing, details="?")
    assert of_rpc_error(raised) == of_status(full)


@pytest.mark.parametrize("trailer", [b"\xff\xff", None])
def test_unreadable_details_leave_the_bare_status(trailer: bytes | None) -> None:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", trailer)) if trailer else grpc.aio.Metadata()
    raised = grpc.aio.AioRpcError(StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailing, details="reset")
    assert of_rpc_error(raised) == Failure(StatusCode.UNAVAILABLE, "reset", definite=False)
