"""Commands on their way, encoded: a queue that turns whatever waits in it into one message. No I/O, no linger."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Final, TypeAlias

from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from lastunit.v1 import inventory_pb2
from lastunit_client.failures import Failure, of_status
from lastunit_client.limits import COMMAND_OVERHEAD_BYTES, MAX_COMMANDS, MAX_MESSAGE_BYTES, MAX_WAITING, PORTION
from lastunit_client.retry import attempt_end
from lastunit_client.wire import content, content_tag, execute_request, number_tag, varint

_REPLY_SECONDS: Final = 0.1  # a node gives up this much earlier than we do, so that its own verdict reaches us

QUEUE_FULL: Final = Failure(
    StatusCode.RESOURCE_EXHAUSTED, "too many commands wait in this client", definite=True, retry_after=0.05
)
UNSENT: Final = Failure(
    StatusCode.RESOURCE_EXHAUSTED, "the command waited in this client until its deadline", definite=True
)
SILENT: Final = Failure(StatusCode.DEADLINE_EXCEEDED, "the node did not answer in time", definite=False)

_TIMEOUT: Final = content_tag(inventory_pb2.Command.TIMEOUT_FIELD_NUMBER)
_SECONDS: Final = number_tag(Duration.SECONDS_FIELD_NUMBER)
_NANOS: Final = number_tag(Duration.NANOS_FIELD_NUMBER)
_RESULT: Final = content_tag(inventory_pb2.ExecuteResult.RESULT_FIELD_NUMBER)

Answer: TypeAlias = bytes | Failure
"""An encoded ExecuteResult that has a result, or why there is none."""


class Pending:
    """One command and the future `answer` of whoever waits, in loop time until the `deadline` of the call.

    `ends_at`: when the attempt is given up, once it is `sent`: what waits in here says nothing of the node.
    """

    __slots__ = ("answer", "command", "deadline", "ends_at", "sent", "size")

    def __init__(self, command: bytes, deadline: float, answer: asyncio.Future[Answer]) -> None:
        self.command = command
        self.size = len(command) + COMMAND_OVERHEAD_BYTES
        self.deadline = deadline
        self.ends_at = deadline
        self.sent = False  # may have reached the node
        self.answer = answer

    def end(self, answer: Answer) -> None:
        """Hand over the answer, if anyone still waits. What was never sent was definitely not applied."""
        if self.answer.done():
            return
        if not self.sent and isinstance(answer, Failure) and not answer.definite:
            answer = replace(answer, definite=True)
        self.answer.set_result(answer)


@dataclass(frozen=True, slots=True)
class Batch:
    """The commands of one Execute message, in order."""

    pending: tuple[Pending, ...]

    def request(self, sequence: int, now: float, attempt_timeout: float) -> tuple[bytes, float, float]:
        """The message, and when the first and when the last of its attempts is given up, in loop time.

        From here on its commands may be applied, and the node has `attempt_timeout` seconds to answer them.
        """
        commands = list[tuple[bytes, bytes]]()
        milliseconds, timeout = 0, b""
        first_end, last_end = inf, now
        for pending in self.pending:
            ends_at = attempt_end(now, pending.deadline, attempt_timeout)
            pending.sent = True
            pending.ends_at = ends_at
            first_end = min(first_end, ends_at)
            last_end = max(last_end, ends_at)
            left = _node_milliseconds(ends_at - now)
            if left != milliseconds:  # mostly that of the command before
                milliseconds, timeout = left, _timeout(left)
            commands.append((pending.command, timeout))
        return execute_request(sequence, commands), first_end, last_end

    def settle(self, results: list[bytes]) -> None:
        """Give each command its part of the answer, some now and the others soon: none is lost if the stream ends.

        ValueError when the parts do not match the commands; then none is given.
        """
        _hand_out([(pending, _answer(result)) for pending, result in zip(self.pending, results, strict=True)])

    def fail(self, failure: Failure) -> None:
        """No answer for any of them."""
        for pending in self.pending:
            pending.end(failure)


class CommandQueue:
    """First in, first out; bounded; hands out as much as one message holds."""

    def __init__(self) -> None:
        self._waiting: deque[Pending] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._waiting)

    def put(self, pending: Pending) -> None:
        """Append, or fail it when the queue is full."""
        if len(self._waiting) >= MAX_WAITING:
            pending.end(QUEUE_FULL)
        else:
            self._waiting.append(pending)

    def take(self, now: float) -> Batch:
        """The next message's commands, without those that nobody waits for any more; may be empty.

        A call that ends `now` or has ended, in loop time, ends here: what it asked for must not happen any more.
        """
        taken: list[Pending] = []
        room = MAX_MESSAGE_BYTES - COMMAND_OVERHEAD_BYTES
        while self._waiting and len(taken) < MAX_COMMANDS and self._waiting[0].size <= room:
            pending = self._waiting.popleft()
            if pending.deadline <= now:
                pending.end(UNSENT)
            elif not pending.answer.done():
                taken.append(pending)
                room -= pending.size
        return Batch(tuple(taken))

    def fail(self, failure: Failure) -> None:
        """No answer for anything that waits."""
        while self._waiting:
            self._waiting.popleft().end(failure)


def _answer(encoded: bytes) -> Answer:
    """What an ExecuteResult has: mostly a result, which its caller decodes."""
    if encoded.startswith(_RESULT):
        return encoded
    part = inventory_pb2.ExecuteResult.FromString(encoded)
    return encoded if part.HasField("result") else of_status(part.error)


def _hand_out(answers: list[tuple[Pending, Answer]], start: int = 0) -> None:
    """Hand out a portion, let its callers run and their next commands leave, then go on."""
    end = start + PORTION
    for pending, answer in answers[start:end]:
        pending.end(answer)
    if end < len(answers):
        asyncio.get_running_loop().call_soon(_hand_out, answers, end)


def _node_milliseconds(left: float) -> int:
    """How long the node may take when we wait `left` seconds."""
    return max(1, int(1_000 * max(left - _REPLY_SECONDS, left / 2)))


def _timeout(milliseconds: int) -> bytes:
    """The part of an encoded command that says so."""
    seconds, rest = divmod(milliseconds, 1_000)
    return content(_TIMEOUT, _SECONDS + varint(seconds) + _NANOS + varint(rest * 1_000_000))
