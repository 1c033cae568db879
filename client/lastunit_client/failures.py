"""Why one attempt gave no answer: read from gRPC's status and google.rpc.Status details, judged once, for all callers.

Retried, always under the same id: UNAVAILABLE, CANCELLED (a dying node cancels its streams), DEADLINE_EXCEEDED (another
node may know better) and RESOURCE_EXHAUSTED that names its RetryInfo (AIP-194). Nothing else is.
"""

import contextlib
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from lastunit_client.errors import (
    DeadlineError,
    InvalidRequestError,
    LastUnitError,
    NotFoundError,
    NotPossibleError,
    ProtocolError,
    UnavailableError,
)

MessageT = TypeVar("MessageT", bound=Message)

_NODE_FAILED = frozenset({StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED})
_CODES = {code.value[0]: code for code in StatusCode}
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt without an answer."""

    code: StatusCode
    message: str
    definite: bool  # certainly not applied by this attempt
    reason: str = ""  # of ErrorInfo
    field: str = ""  # of BadRequest
    retry_after: float | None = None  # seconds, of RetryInfo

    @property
    def retryable(self) -> bool:
        """Whether another attempt under the same id may give an answer."""
        return self.node_failed or (self.code is StatusCode.RESOURCE_EXHAUSTED and self.retry_after is not None)

    @property
    def is_silence(self) -> bool:
        """Whether the node said nothing until the attempt was over: its own errors name a reason."""
        return self.code is StatusCode.DEADLINE_EXCEEDED and not self.reason

    @property
    def node_failed(self) -> bool:
        """Whether the node itself is in doubt, not only this call."""
        return self.code in _NODE_FAILED


def of_status(status: status_pb2.Status) -> Failure:
    """From a google.rpc.Status, as one command of an Execute message gets it. Indefinite unless it says otherwise."""
    code = _CODES.get(status.code, StatusCode.UNKNOWN)
    info = _detail(status, error_details_pb2.ErrorInfo) or error_details_pb2.ErrorInfo()
    retry = _detail(status, error_details_pb2.RetryInfo)
    request = _detail(status, error_details_pb2.BadRequest)
    violation = request.field_violations[0] if request and request.field_violations else None
    return Failure(
        code=code,
        message=violation.description if violation else status.message,
        definite=info.metadata.get("definite") == "true" or code is StatusCode.INVALID_ARGUMENT,
        reason=info.reason,
        field=violation.field if violation else "",
        retry_after=_seconds(retry.retry_delay) if retry else None,
    )


def of_rpc_error(error: grpc.aio.AioRpcError) -> Failure:
    """From a call's error: with details when a node sent them, without when the transport broke (then indefinite)."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                return of_status(status_pb2.Status.FromString(value))
    return Failure(error.code(), error.details() or error.code().name, definite=False)


def to_error(failure: Failure, message: str, *, definite: bool, request_id: str | None) -> LastUnitError:
    """What the caller gets when the call ends with this failure; `definite` covers all its attempts."""
    if failure.code is StatusCode.INVALID_ARGUMENT and definite:  # else an earlier attempt was valid, to another node
        return InvalidRequestError(failure.field, failure.message, request_id=request_id)
    kind = _ERRORS.get(failure.code, ProtocolError)
    return kind(message, definite=definite, request_id=request_id, reason=failure.reason)


_ERRORS: dict[StatusCode, type[LastUnitError]] = {
    StatusCode.NOT_FOUND: NotFoundError,
    StatusCode.FAILED_PRECONDITION: NotPossibleError,
    StatusCode.OUT_OF_RANGE: NotPossibleError,
    StatusCode.UNAVAILABLE: UnavailableError,
    StatusCode.CANCELLED: UnavailableError,
    StatusCode.RESOURCE_EXHAUSTED: UnavailableError,
    StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}


def _seconds(delay: Duration) -> float:
    """How long to wait, whatever a node says: never below zero, which would be no wait at all."""
    return max(0.0, delay.seconds + delay.nanos / 1e9)


def _detail(status: status_pb2.Status, kind: type[MessageT]) -> MessageT | None:
    """The first detail of that type."""
    message = kind()
    return message if any(detail.Unpack(message) for detail in status.details) else None
