"""ClusterService: how this node stands, scanning its state, moving the leadership. Served while draining, too."""

# ruff: noqa: N802 - the methods are named as in cluster.proto

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from lastunit.v1 import cluster_pb2 as pb
from lastunit.v1 import cluster_pb2_grpc
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.calls import Answering, Context, Unparsed
from lastunit_node.frontend.errors import (
    data_loss,
    failed_precondition,
    invalid_argument,
    out_of_range,
    read_refused,
    scan_under_way,
    transfer_overdue,
)
from lastunit_node.frontend.reads import Reader, check_index
from lastunit_node.frontend.requests import parsed
from lastunit_node.frontend.responses import fill_parameters, fill_state_hash
from lastunit_node.replica.interface import ReadRefused, Replica, Role, ScanFailed, ScanUnderWay, TransferFailed

_ROLES: Final = {
    Role.FOLLOWER: pb.ROLE_FOLLOWER,
    Role.CANDIDATE: pb.ROLE_CANDIDATE,
    Role.LEADER: pb.ROLE_LEADER,
}


@dataclass(frozen=True)
class NodeInfo:
    """What a node says of itself. nodes: the names of all members of the cluster."""

    cluster: str
    node: str
    version: str
    nodes: Collection[str]


class ClusterService(cluster_pb2_grpc.ClusterServiceServicer):
    """Status and control of one node, as cluster.proto documents them."""

    def __init__(self, info: NodeInfo, replica: Replica, reader: Reader, batcher: Batcher) -> None:
        self._info = info
        self._replica = replica
        self._reader = reader
        self._batcher = batcher

    async def GetStatus(self, request: Unparsed, context: Context) -> pb.GetStatusResponse:
        """How this node stands; answers without a quorum, unless it has to wait for hash_at_index."""
        async with Answering(context) as deadline:
            hash_at_index = parsed(pb.GetStatusRequest, request).hash_at_index
            check_index("hash_at_index", hash_at_index)
            await self._reader.applied(hash_at_index, deadline)
            return self._status(hash_at_index)

    async def TransferLeadership(self, request: Unparsed, context: Context) -> pb.TransferLeadershipResponse:
        """Hand leadership over; only on the leader."""
        async with Answering(context, changes=True) as deadline:
            target = parsed(pb.TransferLeadershipRequest, request).node
            if target and target not in self._info.nodes:
                raise invalid_argument("node", f"must be one of {', '.join(self._info.nodes)}, or empty")
            return pb.TransferLeadershipResponse(leader=await self._transfer_until(deadline, target or None))

    async def ScanState(self, request: Unparsed, context: Context) -> pb.ScanStateResponse:
        """Recompute the digest from all rows; ends early when the caller goes, and else only with the rows."""
        async with Answering(context):
            parsed(pb.ScanStateRequest, request)
            try:
                scan = await self._replica.scan()
            except ScanUnderWay:
                raise scan_under_way() from None
            except ScanFailed as problem:
                raise data_loss(str(problem)) from problem
            except ReadRefused as refusal:
                raise read_refused(str(refusal)) from refusal
            response = pb.ScanStateResponse(node=self._info.node, scanned_digest=scan.digest, rows=scan.rows)
            fill_state_hash(response.kept, scan.kept)
            return response

    async def transfer(self, target: str | None) -> str:
        """Hand leadership to target (None: the node that is furthest) while nothing is proposed here; its name."""
        status = self._replica.status()
        if status.role is not Role.LEADER:
            leader = f"{status.leader} does" if status.leader else "no leader is known now"
            raise failed_precondition("NOT_LEADER", f"{self._info.node} does not lead: {leader}")
        async with self._batcher.held():
            try:
                return await self._replica.transfer_leadership(target)
            except TransferFailed as failed:
                raise failed_precondition("TRANSFER_FAILED", str(failed)) from failed

    async def _transfer_until(self, deadline: float, target: str | None) -> str:
        try:
            async with asyncio.timeout_at(deadline):
                return await self.transfer(target)
        except TimeoutError:
            raise transfer_overdue() from None

    def _status(self, hash_at_index: int) -> pb.GetStatusResponse:
        status = self._replica.status()
        response = pb.GetStatusResponse(
            cluster=self._info.cluster,
            node=self._info.node,
            role=_ROLES[status.role],
            leader=status.leader or "",
            term=status.term,
            last_index=status.last_index,
            commit_index=status.commit_index,
            applied_index=status.applied_index,
            clock=status.clock,
            has_quorum=status.has_quorum,
            is_admitted=status.is_admitted,
            version=self._info.version,
        )
        state_hash = self._replica.hash_at(hash_at_index or status.applied_index)
        if state_hash:
            fill_state_hash(response.state_hash, state_hash)
        elif hash_at_index:
            raise out_of_range(f"the hash at index {hash_at_index} is no longer at hand; {status.applied_index} is")
        if status.parameters:
            fill_parameters(response.parameters, status.parameters)
        return response
