"""How a node that is too far behind comes back: it fetches a copy of a peer's state and starts again from there.

The replica says when: the leader's log starts after this node's ends. A copy is streamed to a new file beside the old
state, verified, and made durable; then, with the replica stopped, one journal transaction names the new file and sets
the sentinel (docs/raft-rules.md, rule 4, Install). A crash at any moment leaves either the old state with the old
journal or the new one with the new; leftovers are removed at the next start.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import grpc
import structlog

from lastunit.v1 import catchup_pb2 as pb
from lastunit.v1 import catchup_pb2_grpc
from lastunit_node.copies import CopyInfo, CopyRefused, NoRoom, adopt_copy, discard_copy, require_room
from lastunit_node.datadir import DataDirectory
from lastunit_node.replica.interface import Replica

_log = structlog.get_logger()

LOOK_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 30.0  # a sender gives a sign of life more often, also while it makes the copy
COPY_SECONDS: Final = 1_800.0  # for all of it


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


class CatchUp:
    """Fetches copies for one node."""

    def __init__(self, directory: DataDirectory, replica: Replica, addresses: dict[str, str]) -> None:
        self._directory = directory
        self._replica = replica
        self._addresses = addresses

    async def fetch(self) -> ArrivedCopy:
        """Wait until a copy is needed, and until one is here, verified."""
        for attempt in itertools.count():
            source = self._source(await wait_until_behind(self._replica), attempt)
            _log.info("too far behind for the leader's log; fetching a copy of a state", source=source)
            try:
                return await self._fetch_from(source)
            except (grpc.aio.AioRpcError, CopyRefused, NoRoom, OSError) as problem:
                discard_copy(self._directory.arriving_copy)
                _log.warning(
                    "no copy of the state was installed; this node keeps its old state and fetches another",
                    source=source,
                    problem=describe(problem),
                    retry_in_seconds=RETRY_SECONDS,
                )
                await asyncio.sleep(RETRY_SECONDS)
        raise AssertionError

    def _source(self, leader: str, attempt: int) -> str:
        """The leader, and every other time another peer: the leader's own state may be what is damaged."""
        peers = [name for name in self._addresses if name not in {leader, self._directory.identity.node}]
        turn, asks_a_peer = divmod(attempt, 2)
        return peers[turn % len(peers)] if asks_a_peer and peers else leader

    async def _fetch_from(self, source: str) -> ArrivedCopy:
        begin = time.monotonic()
        arriving = self._directory.arriving_copy
        info = await self._download(self._addresses[source], arriving)
        if info.applied_index <= self._replica.status().applied_index:
            raise CopyRefused(f"the copy stands at {info.applied_index}, which is applied here already")
        arrived = time.monotonic()
        lasting = self._directory.copied_state(info.applied_index)
        await asyncio.to_thread(adopt_copy, arriving, lasting, info, self._directory.state_identity)
        _log.info(
            "a copy of the state arrived",
            index=info.applied_index,
            bytes=info.size,
            fetch_seconds=round(arrived - begin, 3),
            verify_seconds=round(time.monotonic() - arrived, 3),
        )
        return ArrivedCopy(lasting.name, info)

    async def _download(self, address: str, target: Path) -> CopyInfo:
        async with grpc.aio.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
            request = pb.CopyStateRequest(cluster_id=self._directory.identity.cluster_id)
            async with asyncio.timeout(COPY_SECONDS):  # gRPC's own would be reckoned by the wall clock
                return await receive(aiter(catchup_pb2_grpc.CatchUpServiceStub(channel).CopyState(request)), target)


def install(directory: DataDirectory, copy: ArrivedCopy, applied_index: int) -> bool:
    """Switch to a copy, the replica being stopped. False when its state got as far by itself meanwhile.

    Nothing is changed then: the journal may start after the copy ends, and would be emptied for it.
    """
    if copy.info.applied_index <= applied_index:
        _log.info("the copy is not needed any more", index=copy.info.applied_index, applied_index=applied_index)
        return False
    directory.install(copy.file, copy.info.applied_index, copy.info.applied_term)
    _log.info("the copy is installed; starting again from it", index=copy.info.applied_index)
    return True


async def receive(parts: AsyncIterator[pb.CopyStateResponse], target: Path) -> CopyInfo:
    """Write the bytes of a copy to a file; what they are said to be.

    Raises CopyRefused for more bytes than were announced, NoRoom, and TimeoutError when nothing comes for long.
    """
    first = await _next(parts)
    while first is not None and first.WhichOneof("part") is None:
        first = await _next(parts)
    header = (first or pb.CopyStateResponse()).header
    info = CopyInfo(header.applied_index, header.applied_term, header.size, header.sha256)
    require_room(target.parent, info.size)
    received = 0
    with target.open("wb") as file:
        while part := await _next(parts):
            received += file.write(part.chunk)
            if received > info.size:
                raise CopyRefused(f"more than the {info.size} bytes that were announced arrive")
    return info


async def _next(parts: AsyncIterator[pb.CopyStateResponse]) -> pb.CopyStateResponse | None:
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await anext(parts, None)
    except TimeoutError:
        raise TimeoutError(f"nothing arrived for {SILENCE_SECONDS:g} s") from None


def describe(problem: BaseException) -> str:
    """One line."""
    if isinstance(problem, grpc.aio.AioRpcError):
        return f"{problem.code().name}: {problem.details()}"
    return str(problem) or type(problem).__name__
