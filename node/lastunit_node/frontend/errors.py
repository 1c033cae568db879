"""What the front end says when it has no answer: one exception, one function per kind, google.rpc.Status on the wire.

Every error carries ErrorInfo with domain "lastunit" and metadata "definite": "true" when the command was certainly not
applied, "false" when it may have been (AIP-193). A refusal such as OUT_OF_STOCK is an answer and never comes here.
"""

from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN: Final = "lastunit"
RETRY_SECONDS: Final = 0.1  # RetryInfo of a full queue: a few entries' worth of time
SCAN_RETRY_SECONDS: Final = 1.0
NOT_APPLIED: Final = "nothing was applied: retry, a command under the same id"
MAY_BE_APPLIED: Final = "the command may have been applied: retry under the same id, to get its first answer if it was"


@dataclass(eq=False)
class CallError(Exception):
    """A call or a command ended without an answer.

    reason is UPPER_SNAKE for programs, message for people. field names the proto field of a malformed request, and
    message then says only what is wrong with it. retry_seconds is how long to wait before another try, 0 where the code
    says enough.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    definite: bool
    field: str = ""
    retry_seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message

    def status(self) -> status_pb2.Status:
        """This error as google.rpc.Status: ErrorInfo, and BadRequest or RetryInfo where they apply."""
        status = status_pb2.Status(code=self.code.value[0], message=str(self))
        for detail in self._details():
            status.details.add().Pack(detail)
        return status

    def _details(self) -> list[Message]:
        metadata = {"definite": "true" if self.definite else "false"}
        details: list[Message] = [error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=metadata)]
        if self.field:
            violation = error_details_pb2.BadRequest.FieldViolation(field=self.field, description=self.message)
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_seconds:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(round(self.retry_seconds * 1000))
            details.append(retry)
        return details


def invalid_argument(field: str, problem: str) -> CallError:
    """The request is malformed at this field; nothing was proposed. The same request fails again."""
    return CallError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", problem, True, field=field)


def not_found(what: str) -> CallError:
    """A query names something that is not there."""
    return CallError(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", what, True)


def scan_under_way() -> CallError:
    """Another scan of the state is under way on this node."""
    message = "another scan of this node's state is under way; try again when it is done"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError(code, "SCAN_UNDER_WAY", message, True, retry_seconds=SCAN_RETRY_SECONDS)


def data_loss(problem: str) -> CallError:
    """This node's data is damaged; it stops."""
    return CallError(grpc.StatusCode.DATA_LOSS, "DAMAGED", f"{problem}; this node stops", True)


def out_of_range(problem: str) -> CallError:
    """A query asks for something that is no longer at hand."""
    return CallError(grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE", problem, True)


def failed_precondition(reason: str, problem: str) -> CallError:
    """This node is not in the state the call needs; nothing was done."""
    return CallError(grpc.StatusCode.FAILED_PRECONDITION, reason, problem, True)


def queue_full(*, definite: bool = True) -> CallError:
    """More waits to be proposed than this node takes. Indefinite where an attempt to propose the command had begun."""
    message = f"this node's queue of commands is full, try a little later; {_consequence(definite)}"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError(code, "QUEUE_FULL", message, definite, retry_seconds=RETRY_SECONDS)


def response_full(*, definite: bool) -> CallError:
    """The answers to the commands before these are as large as a response may be."""
    message = f"the other answers to this message are all that one response may hold; {_consequence(definite)}"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError(code, "RESPONSE_FULL", message, definite, retry_seconds=RETRY_SECONDS)


def too_many_streams(most: int) -> CallError:
    """This node has as many Execute streams as it takes, and none is idle."""
    message = f"this node has {most} busy Execute streams, as many as it takes; {NOT_APPLIED}, a little later"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError(code, "TOO_MANY_STREAMS", message, True, retry_seconds=RETRY_SECONDS)


def idle_stream() -> CallError:
    """This Execute stream was idle, and the node needed room for another one."""
    message = f"this stream was idle, and made way for another one; open it again; {NOT_APPLIED}"
    return CallError(grpc.StatusCode.UNAVAILABLE, "IDLE_STREAM", message, True)


def too_many_wait(most: int) -> CallError:
    """As many reads as may wait for an index wait on this node."""
    message = f"{most} reads wait on this node for an index already, as many as may; try again a little later"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError(code, "TOO_MANY_WAIT", message, True, retry_seconds=RETRY_SECONDS)


def copy_under_way() -> CallError:
    """Another copy of the state is being made or sent."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError(
        code, "COPY_UNDER_WAY", "a copy is under way already; ask again", True, retry_seconds=RETRY_SECONDS
    )


def stopping(*, definite: bool) -> CallError:
    """This node shuts down. Indefinite where an attempt to propose the command had begun."""
    message = f"this node is stopping; {_consequence(definite)}"
    return CallError(grpc.StatusCode.UNAVAILABLE, "STOPPING", message, definite)


def unavailable(reason: str, why: str) -> CallError:
    """The deadline came near, and every attempt had been refused before it reached a log, or there was none."""
    return CallError(grpc.StatusCode.UNAVAILABLE, reason, f"{why}; {NOT_APPLIED}", True)


def read_refused(why: str) -> CallError:
    """The system would not read this node's state now; another node may answer."""
    message = f"this node's state could not be read just now ({why}): ask another node, and see to this one's disk"
    return CallError(grpc.StatusCode.UNAVAILABLE, "READ_REFUSED", message, True)


def deadline_exceeded(reason: str, *, definite: bool) -> CallError:
    """The deadline came near without a result."""
    message = f"there was no result before the deadline; {_consequence(definite)}"
    return CallError(grpc.StatusCode.DEADLINE_EXCEEDED, reason, message, definite)


def transfer_overdue() -> CallError:
    """The deadline came near before it was known who leads."""
    message = "leadership was not seen to move before the deadline, and still may: ask GetStatus who leads"
    return CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE", message, False)


def internal(message: str, *, definite: bool) -> CallError:
    """A bug in lastunit; the node's log has more."""
    message = f"{message}: a bug in lastunit; {_consequence(definite)}"
    return CallError(grpc.StatusCode.INTERNAL, "INTERNAL", message, definite)


def _consequence(definite: bool) -> str:
    return NOT_APPLIED if definite else MAY_BE_APPLIED
