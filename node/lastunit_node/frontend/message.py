"""One message of the Execute stream: its commands in, its answers out, position by position."""

from google.rpc import status_pb2

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import CallError, invalid_argument
from lastunit_node.frontend.requests import checked_size, command_of, timeout_of
from lastunit_node.frontend.responses import fill_result
from lastunit_node.frontend.work import Answers
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.limits import MAX_COMMANDS
from lastunit_node.statemachine.results import Result


class ExecuteMessage:
    """The commands that are well formed, a deadline for each (loop time), and an error for each of the others.

    size is the request's bytes. CallError for a request that is over the limits as a whole.
    """

    def __init__(self, request: pb.ExecuteRequest, now: float) -> None:
        self.size = _checked_size(request)
        self.commands: list[Command] = []
        self.deadlines: list[float] = []
        self._sequence = request.sequence
        self._count = len(request.commands)
        self._malformed: dict[int, CallError] = {}
        for position, message in enumerate(request.commands):
            try:
                command, timeout = command_of(message), timeout_of(message)
            except CallError as error:
                self._malformed[position] = error
            else:
                self.commands.append(command)
                self.deadlines.append(now + timeout)

    def response(self, answers: Answers) -> pb.ExecuteResponse:
        """The answers to `commands`, and the errors of the others, in the order of the request."""
        response = pb.ExecuteResponse(sequence=self._sequence)
        results = _Results(response, answers.applied_index)
        answered = iter(answers.answers)
        for position in range(self._count):
            results.add(self._malformed.get(position) or next(answered))
        return response


class _Results:
    """Fills a response. The status of an error that many positions share is made once."""

    def __init__(self, response: pb.ExecuteResponse, applied_index: int) -> None:
        self._add = response.results.add
        self._applied_index = applied_index
        self._error: CallError | None = None
        self._status = status_pb2.Status()

    def add(self, answer: Result | CallError) -> None:
        message = self._add()
        if isinstance(answer, CallError):
            message.error.CopyFrom(self._status_of(answer))
            return
        try:
            fill_result(message.result, answer, self._applied_index)
        except CallError as error:
            message.error.CopyFrom(self._status_of(error))

    def _status_of(self, error: CallError) -> status_pb2.Status:
        if error is not self._error:
            self._error, self._status = error, error.status()
        return self._status


def _checked_size(request: pb.ExecuteRequest) -> int:
    if len(request.commands) > MAX_COMMANDS:
        raise invalid_argument("commands", f"must be at most {MAX_COMMANDS}, are {len(request.commands)}")
    return checked_size(request)
