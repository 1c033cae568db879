"""One message of the Execute stream: its commands in, its answers out, position by position."""

import re
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import CallError, invalid_argument
from lastunit_node.frontend.orders import command_at, span_at
from lastunit_node.frontend.requests import check_size, command_of, parsed, timeout_of, unreadable
from lastunit_node.frontend.wire import ResultWriter, field, from_protobuf, malformed, tag, varint
from lastunit_node.frontend.work import Answers
from lastunit_node.statemachine.brief import Brief
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.limits import MAX_COMMANDS
from lastunit_node.statemachine.results import Answer

_HEADER: Final = re.compile(b"\x08[\x80-\xff]{0,9}[\0-\x7f]")  # the sequence, as clients put it first
_SEQUENCE: Final = tag(pb.ExecuteResponse, "sequence")
_RESULTS: Final = tag(pb.ExecuteResponse, "results")
_ERROR: Final = tag(pb.ExecuteResult, "error")


class ExecuteMessage:
    """The commands that are well formed, a deadline for each (loop time), and an error for each of the others.

    data is an ExecuteRequest, and size its bytes. CallError for what is none, or over the limits as a whole.
    """

    def __init__(self, data: bytes, now: float) -> None:
        self.size = len(data)
        self.commands: list[Command | Brief] = []
        self.deadlines: list[float] = []
        self._malformed: dict[int, str] = {}  # their results, written
        header = _HEADER.match(data)
        start = header.end() if header else 0
        try:
            end = self._take_all(data, start, now)
            rest = pb.ExecuteRequest.FromString(data[:start] + data[end:])
        except DecodeError:
            raise unreadable("ExecuteRequest") from None
        _check_count(self._taken + len(rest.commands))
        check_size("ExecuteRequest", self.size)
        self._sequence = rest.sequence
        for message in rest.commands:
            self._take(message, now)

    @property
    def _taken(self) -> int:
        return len(self.commands) + len(self._malformed)

    def _take_all(self, data: bytes, at: int, now: float) -> int:
        """Take the commands that follow one another from here, mostly all there are; where they end."""
        while self._taken <= MAX_COMMANDS:
            command, timeout, end = command_at(data, at)
            if command is not None:
                self.commands.append(command)
                self.deadlines.append(now + timeout)
            else:
                start, end = span_at(data, at)
                if not start:
                    break
                self._take_one(data[start:end], now)
            at = end
        return at

    def _take_one(self, data: bytes, now: float) -> None:
        """Take a command. Bytes that are none, of a text that is no UTF-8 say, spoil only its own position."""
        try:
            message = parsed(pb.Command, data)
        except CallError as error:
            self._spoil(error)
        else:
            self._take(message, now)

    def _spoil(self, error: CallError) -> None:
        self._malformed[self._taken] = field(_ERROR, malformed(error))

    def _take(self, message: pb.Command, now: float) -> None:
        try:
            command, timeout = command_of(message), timeout_of(message)
        except CallError as error:
            self._spoil(error)
        else:
            self.commands.append(command)
            self.deadlines.append(now + timeout)

    def response(self, answers: Answers) -> bytes:
        """An ExecuteResponse: the answers to `commands`, and the errors of the others, in the order of the request.

        Nothing else is kept: a response may have to wait, and commands take several times as much memory.
        """
        written = _Writer(answers.applied_index).written
        results = [written(answer) for answer in answers.answers]
        if self._malformed:
            results = self._in_order(results)
        self.commands, self.deadlines, self._malformed = [], [], {}
        parts = [f"{_RESULTS}{varint(len(result))}{result}" for result in results]
        return f"{_SEQUENCE}{varint(self._sequence)}{''.join(parts)}".encode("latin-1")

    def _in_order(self, results: Sequence[str]) -> list[str]:
        """All positions: the malformed ones, and between them these results."""
        others = iter(results)
        return [self._malformed.get(position) or next(others) for position in range(self._taken)]


class _Writer:
    """Writes ExecuteResults. The status of an error that many positions share is made once."""

    def __init__(self, applied_index: int) -> None:
        self._results = ResultWriter(applied_index)
        self._error: CallError | None = None
        self._status = ""

    def written(self, answer: Answer | CallError) -> str:
        if isinstance(answer, CallError):
            return self._status_of(answer)
        try:
            return self._results.field(answer)
        except CallError as error:
            return self._status_of(error)

    def _status_of(self, error: CallError) -> str:
        if error is not self._error:
            self._error, self._status = error, field(_ERROR, from_protobuf(error.status()))
        return self._status


def _check_count(count: int) -> None:
    if count > MAX_COMMANDS:
        raise invalid_argument("commands", f"must be at most {MAX_COMMANDS}, are {count}")
