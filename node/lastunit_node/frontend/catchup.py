"""CatchUpService: copies of the state for nodes that are too far behind."""

# ruff: noqa: N802 - the methods are named as in catchup.proto

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from lastunit.v1 import catchup_pb2 as pb
from lastunit.v1 import catchup_pb2_grpc
from lastunit_node.copies import CopyInfo, NoRoom, NotCopied, SourceDamaged, discard_copy, make_copy
from lastunit_node.frontend.calls import Answering, Context, Unparsed
from lastunit_node.frontend.errors import copy_under_way, failed_precondition, read_refused, stopping
from lastunit_node.frontend.requests import parsed
from lastunit_node.replica.interface import Replica

CHUNK_BYTES: Final = 256 << 10
HOLD_SECONDS: Final = 120.0  # the log behind a copy is kept so long after it last got on: it has to be verified, too
LIFE_SECONDS: Final = 5.0  # between signs of life while a copy is made


class StateFiles(NamedTuple):
    """Where the state of this node lies, where a copy of it may be made, and whose it is."""

    cluster_id: str
    state: Path
    outgoing: Path


class CatchUpService(catchup_pb2_grpc.CatchUpServiceServicer):
    """Makes and streams copies, one at a time."""

    def __init__(self, files: StateFiles, replica: Replica) -> None:
        self._files = files
        self._replica = replica
        self._under_way = asyncio.Lock()

    async def CopyState(self, request: Unparsed, context: Context) -> AsyncIterator[pb.CopyStateResponse]:
        """See catchup.proto."""
        async with Answering(context):
            self._check(parsed(pb.CopyStateRequest, request))
            async with self._under_way:
                making = asyncio.create_task(asyncio.to_thread(make_copy, self._files.state, self._files.outgoing))
                making.add_done_callback(self._look_for_damage)
                hold = _Hold(self._replica)
                try:
                    while not (await asyncio.wait([making], timeout=LIFE_SECONDS))[0]:
                        hold.renew()
                        yield pb.CopyStateResponse()
                    yield pb.CopyStateResponse(header=pb.CopyHeader(**self._made(making)._asdict()))
                    with self._files.outgoing.open("rb") as file:
                        while chunk := file.read(CHUNK_BYTES):
                            hold.renew()
                            yield pb.CopyStateResponse(chunk=chunk)
                finally:
                    await asyncio.wait([making])  # its thread cannot be stopped, and must not meet the next one's file
                    discard_copy(self._files.outgoing)

    def _check(self, request: pb.CopyStateRequest) -> None:
        if request.cluster_id != self._files.cluster_id:
            raise failed_precondition("OTHER_CLUSTER", "this node belongs to another cluster")
        if self._replica.status().is_behind:
            raise failed_precondition("BEHIND", "this node is itself too far behind")
        if self._under_way.locked():
            raise copy_under_way()

    def _look_for_damage(self, making: "asyncio.Task[CopyInfo]") -> None:
        """It ends this node, also when nobody waits for the copy any more."""
        problem = None if making.cancelled() else making.exception()
        if isinstance(problem, SourceDamaged):
            self._replica.fail(problem.__cause__ or problem)

    def _made(self, making: "asyncio.Task[CopyInfo]") -> CopyInfo:
        try:
            return making.result()
        except NoRoom as problem:
            raise failed_precondition("NO_ROOM", str(problem)) from problem
        except NotCopied as refusal:
            raise read_refused(str(refusal)) from refusal
        except SourceDamaged as damaged:
            raise stopping(definite=True) from damaged


class _Hold:
    """Keeps the log behind a copy for as long as the copy gets on."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._index = replica.status().applied_index
        self._now = asyncio.get_running_loop().time
        self._renewed = float("-inf")
        self.renew()

    def renew(self) -> None:
        """It got on; looked at now and then."""
        if self._now() - self._renewed >= LIFE_SECONDS:
            self._renewed = self._now()
            self._replica.hold_log(self._index, HOLD_SECONDS)
