"""How a node that is too far behind comes back: it fetches a copy of a peer's state and starts again from there.

The replica says when: the leader's log starts after this node's ends. A copy is streamed to a new file beside the old
state, verified, and made durable; then, with the replica stopped, one journal transaction names the new file and sets
the sentinel (pysyncobj.md, rule 4, Install). A crash at any moment leaves either the old state with the old journal
or the new one with the new; leftovers are removed at the next start.
"""

import asyncio
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import grpc
import structlog

from lastunit.v1 import catchup_pb2 as pb
from lastunit.v1 import catchup_pb2_grpc
from lastunit_node.copies import CopyInfo, CopyRefused, adopt_copy, sync_to_disk
from lastunit_node.datadir import DataDirectory
from lastunit_node.replica.interface import Replica

_log = structlog.get_logger()

LOOK_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 30.0  # making a copy of a large state takes a while before its first byte


Call: TypeAlias = "grpc.aio.UnaryStreamCall[pb.CopyStateRequest, pb.CopyStateResponse]"


class ArrivedCopy(NamedTuple):
    """A verified copy in the data directory: its file's name, and what it is."""

    file: str
    info: CopyInfo


async def wait_until_behind(replica: Replica) -> str:
    """Return once this node needs a copy; the name of the leader to fetch it from."""
    while True:
        status = replica.status()
        if status.is_behind and status.leader is not None:
            return status.leader
        await asyncio.sleep(LOOK_SECONDS)


def settle_copy(directory: DataDirectory, info: CopyInfo, applied_index: int) -> ArrivedCopy:
    """Verify what was received and make it this node's, durably, under its own name. Raises CopyRefused, OSError."""
    if info.applied_index <= applied_index:
        raise CopyRefused(f"the copy stands at {info.applied_index}, which is applied here already")
    file = directory.arriving_copy
    adopt_copy(file, info, directory.state_identity)
    file = file.rename(file.with_name(f"state-{info.applied_index}.db"))
    sync_to_disk(file.parent)  # the journal is about to name it
    return ArrivedCopy(file.name, info)


class CatchUp:
    """Fetches copies for one node."""

    def __init__(self, directory: DataDirectory, replica: Replica, addresses: dict[str, str]) -> None:
        self._directory = directory
        self._replica = replica
        self._addresses = addresses

    async def fetch(self) -> ArrivedCopy:
        """Wait until a copy is needed, and until one is here, verified."""
        while True:
            leader = await wait_until_behind(self._replica)
            try:
                return await self._fetch_from(leader)
            except (grpc.aio.AioRpcError, CopyRefused, OSError) as problem:
                _log.warning(
                    "a copy of the state did not arrive; trying again", leader=leader, problem=describe(problem)
                )
                await asyncio.sleep(RETRY_SECONDS)

    async def _fetch_from(self, leader: str) -> ArrivedCopy:
        _log.info("too far behind for the leader's log; fetching a copy of its state", leader=leader)
        info = await self._download(self._addresses[leader], self._directory.arriving_copy)
        copy = await asyncio.to_thread(settle_copy, self._directory, info, self._replica.status().applied_index)
        _log.info("a copy of the state arrived", index=info.applied_index, bytes=info.size)
        return copy

    async def _download(self, address: str, target: Path) -> CopyInfo:
        async with grpc.aio.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
            request = pb.CopyStateRequest(cluster_id=self._directory.identity.cluster_id)
            call = catchup_pb2_grpc.CatchUpServiceStub(channel).CopyState(request)
            first = await asyncio.wait_for(anext(aiter(call)), SILENCE_SECONDS)
            header = first.header
            info = CopyInfo(header.applied_index, header.applied_term, header.size, header.sha256)
            await self._receive(call, target, info)
            return info

    async def _receive(
        self, call: "grpc.aio.UnaryStreamCall[pb.CopyStateRequest, pb.CopyStateResponse]", target: Path, info: CopyInfo
    ) -> None:
        received = 0
        with target.open("wb") as file:
            async for part in call:
                received += file.write(part.chunk)
                if received > info.size:
                    raise CopyRefused(f"more than the {info.size} bytes that were announced arrive")


def describe(problem: BaseException) -> str:
    """One line."""
    if isinstance(problem, grpc.aio.AioRpcError):
        return f"{problem.code().name}: {problem.details()}"
    return str(problem) or type(problem).__name__
