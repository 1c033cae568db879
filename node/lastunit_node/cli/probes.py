"""Questions to one node over gRPC: does it serve, how does it stand, are its rows whole, will it hand over.

Each opens a channel of its own, so that a node that was down a moment ago is asked at once and not after a back-off.
"""

from typing import cast

import grpc
from grpc_health.v1 import health_pb2

from lastunit.v1 import cluster_pb2, cluster_pb2_grpc
from lastunit_client.channel import DIRECT
from lastunit_node.cli.verification import NodeScan
from lastunit_node.config import Address


class TransferRefused(Exception):
    """Leadership stayed where it was; the message says why."""


def open_channel(address: Address) -> grpc.Channel:
    """A new channel to one node."""
    return grpc.insecure_channel(str(address), options=DIRECT)


def is_serving(address: Address, timeout_s: float) -> bool:
    """Whether the node's health service says SERVING."""
    with open_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def get_status(address: Address, timeout_s: float, hash_at_index: int = 0) -> cluster_pb2.GetStatusResponse | None:
    """How the node stands; None when it gives no answer. hash_at_index as in GetStatusRequest."""
    request = cluster_pb2.GetStatusRequest(hash_at_index=hash_at_index)
    with open_channel(address) as channel:
        try:
            return cluster_pb2_grpc.ClusterServiceStub(channel).GetStatus(request, timeout=timeout_s)
        except grpc.RpcError:
            return None


def scan_state(address: Address, timeout_s: float) -> NodeScan:
    """Have the node read all its rows and recompute their digest."""
    with open_channel(address) as channel:
        try:
            stub = cluster_pb2_grpc.ClusterServiceStub(channel)
            return NodeScan.of(stub.ScanState(cluster_pb2.ScanStateRequest(), timeout=timeout_s))
        except grpc.RpcError as error:
            unreadable = cast("grpc.Call", error).code() is grpc.StatusCode.DATA_LOSS
            return NodeScan(problem=describe(error), unreadable=unreadable)


def transfer_leadership(address: Address, node: str, timeout_s: float) -> str:
    """Ask the leader at `address` to hand over to `node` (empty: to the furthest); the new leader's name."""
    request = cluster_pb2.TransferLeadershipRequest(node=node)
    with open_channel(address) as channel:
        try:
            answer = cluster_pb2_grpc.ClusterServiceStub(channel).TransferLeadership(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise TransferRefused(describe(error)) from None
        return answer.leader


def describe(error: grpc.RpcError) -> str:
    """The details of a failed call, in one line."""
    details = cast("grpc.Call", error).details()  # every error of a blocking call is its Call, too
    return " ".join((details or str(error)).split())
