"""CatchUpService: copies of the state for nodes that are too far behind."""

# ruff: noqa: N802 - the methods are named as in catchup.proto

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from lastunit.v1 import catchup_pb2 as pb
from lastunit.v1 import catchup_pb2_grpc
from lastunit_node.copies import CopyInfo, NoRoom, discard_copy, make_copy
from lastunit_node.frontend.calls import Context, answering
from lastunit_node.frontend.errors import copy_under_way, failed_precondition
from lastunit_node.replica.interface import Replica

CHUNK_BYTES: Final = 256 << 10
HOLD_SECONDS: Final = 120.0  # the log behind a copy is kept so long, for it to arrive and the node to start again


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

    async def CopyState(self, request: pb.CopyStateRequest, context: Context) -> AsyncIterator[pb.CopyStateResponse]:
        """See catchup.proto."""
        async with answering(context):
            self._check(request)
            async with self._under_way:
                try:
                    info = await self._make()
                    yield pb.CopyStateResponse(header=pb.CopyHeader(**info._asdict()))
                    with self._files.outgoing.open("rb") as file:
                        while chunk := file.read(CHUNK_BYTES):
                            yield pb.CopyStateResponse(chunk=chunk)
                finally:
                    discard_copy(self._files.outgoing)

    def _check(self, request: pb.CopyStateRequest) -> None:
        if request.cluster_id != self._files.cluster_id:
            raise failed_precondition("OTHER_CLUSTER", "this node belongs to another cluster")
        if self._replica.status().is_behind:
            raise failed_precondition("BEHIND", "this node is itself too far behind")
        if self._under_way.locked():
            raise copy_under_way()

    async def _make(self) -> CopyInfo:
        self._replica.hold_log(self._replica.status().applied_index, HOLD_SECONDS)
        making = asyncio.create_task(asyncio.to_thread(make_copy, self._files.state, self._files.outgoing))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.wait([making])  # its thread cannot be stopped, and must not meet the next one's file
            raise
        except NoRoom as problem:
            raise failed_precondition("NO_ROOM", str(problem)) from problem
