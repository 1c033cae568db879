"""Commands on their way: a queue that turns whatever waits in it into one message. No I/O, no linger."""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from grpc import StatusCode

from lastunit.v1 import inventory_pb2
from lastunit_client.failures import Failure, of_status
from lastunit_client.limits import COMMAND_OVERHEAD_BYTES, MAX_COMMANDS, MAX_MESSAGE_BYTES, MAX_WAITING

_REPLY_SECONDS: Final = 0.1  # a node gives up this much earlier than we do, so that its own verdict reaches us

QUEUE_FULL: Final = Failure(
    StatusCode.RESOURCE_EXHAUSTED, "too many commands wait in this client", definite=True, retry_after=0.05
)
SILENT: Final = Failure(StatusCode.DEADLINE_EXCEEDED, "the node did not answer in time", definite=False)


class Pending:
    """One command and whoever waits for its result. `ends_at`: when this attempt is given up, in loop time."""

    __slots__ = ("answer", "command", "ends_at", "sent", "size")

    def __init__(self, command: inventory_pb2.Command, ends_at: float) -> None:
        self.command = command
        self.size = command.ByteSize() + COMMAND_OVERHEAD_BYTES
        self.ends_at = ends_at
        self.sent = False  # may have reached the node
        self.answer: asyncio.Future[inventory_pb2.CommandResult | Failure] = asyncio.Future()

    def succeed(self, result: inventory_pb2.CommandResult) -> None:
        """Hand over the answer, if anyone still waits."""
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, failure: Failure) -> None:
        """End this attempt without an answer. What was never sent was definitely not applied."""
        if not self.answer.done():
            self.answer.set_result(failure if self.sent else replace(failure, definite=True))

    def give_up(self) -> None:
        """The attempt's time is over."""
        self.fail(SILENT)


@dataclass(frozen=True, slots=True)
class Batch:
    """The commands of one Execute message, in order."""

    pending: tuple[Pending, ...]

    @property
    def ends_at(self) -> float:
        """When the last of its attempts is given up, in loop time."""
        return max(pending.ends_at for pending in self.pending)

    def request(self, sequence: int, now: float) -> inventory_pb2.ExecuteRequest:
        """The message. From here on its commands may be applied."""
        request = inventory_pb2.ExecuteRequest(sequence=sequence)
        for pending in self.pending:
            pending.sent = True
            command = request.commands.add()
            command.CopyFrom(pending.command)
            command.timeout.FromMicroseconds(_node_micros(pending.ends_at - now))
        return request

    def settle(self, response: inventory_pb2.ExecuteResponse) -> None:
        """Give each command its part of the answer. ValueError when the parts do not match the commands."""
        for pending, result in zip(self.pending, response.results, strict=True):
            if result.HasField("result"):
                pending.succeed(result.result)
            else:
                pending.fail(of_status(result.error))

    def fail(self, failure: Failure) -> None:
        """No answer for any of them."""
        for pending in self.pending:
            pending.fail(failure)


class CommandQueue:
    """First in, first out; bounded; hands out as much as one message holds."""

    def __init__(self) -> None:
        self._waiting: deque[Pending] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, pending: Pending) -> None:
        """Append, or fail it when the queue is full."""
        if len(self._waiting) >= MAX_WAITING:
            pending.fail(QUEUE_FULL)
        else:
            self._waiting.append(pending)

    def take(self) -> Batch:
        """The next message's commands, without those that nobody waits for any more; may be empty."""
        taken: list[Pending] = []
        room = MAX_MESSAGE_BYTES - COMMAND_OVERHEAD_BYTES
        while self._waiting and len(taken) < MAX_COMMANDS and self._waiting[0].size <= room:
            pending = self._waiting.popleft()
            if not pending.answer.done():
                taken.append(pending)
                room -= pending.size
        return Batch(tuple(taken))

    def fail(self, failure: Failure) -> None:
        """No answer for anything that waits."""
        while self._waiting:
            self._waiting.popleft().fail(failure)


def _node_micros(left: float) -> int:
    """How long the node may take when we wait `left` seconds."""
    return max(1, int(1e6 * max(left - _REPLY_SECONDS, left / 2)))
