"""A program that stands in for lastunit-node: right outside, nothing inside. LocalCluster runs it by its path.

A file mode-NODE beside the cluster file makes that node misbehave:
`refuse-format` and `refuse-run` end at once, `hang-format` and `hang-rejoin` never, `mute` ends without a word,
`silent` never serves, `stubborn` does not end on SIGTERM, `new` is not admitted, and serves not,
`diverged` has another hash, `damaged` other rows than it keeps the digest of, `unreadable` none that can be read,
`busy` scans already.
"""

import argparse
import json
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from lastunit.v1 import cluster_pb2, cluster_pb2_grpc
from lastunit_node.config import ClusterConfig, load_cluster


class FakeCluster(cluster_pb2_grpc.ClusterServiceServicer):
    """The first node leads, and hands over to the second only. It was born with ticks of 20 ms."""

    def __init__(self, config: ClusterConfig, node: str, mode: str) -> None:
        self._mode = mode
        self._leader = next(iter(config.nodes))
        self._node = node
        self._agreed = cluster_pb2.Parameters(
            tick_ms=20,
            hold_ticks=config.hold_ticks,
            hold_cap_ticks=config.hold_cap_ticks,
            retention_ticks=config.retention_ticks,
            sweep_size=config.sweep_size,
        )

    def GetStatus(self, request: cluster_pb2.GetStatusRequest, context: Any) -> cluster_pb2.GetStatusResponse:
        return cluster_pb2.GetStatusResponse(
            node=self._node,
            role=cluster_pb2.ROLE_LEADER if self._node == self._leader else cluster_pb2.ROLE_FOLLOWER,
            leader=self._leader,
            term=3,
            applied_index=7,
            has_quorum=True,
            is_admitted=self._mode != "new",
            parameters=self._agreed,
            state_hash=cluster_pb2.StateHash(
                index=request.hash_at_index or 7,
                chain=(self._node.encode() if self._mode == "diverged" else b"\1" * 16),
                digest=b"\2" * 16,
            ),
        )

    def ScanState(self, request: cluster_pb2.ScanStateRequest, context: Any) -> cluster_pb2.ScanStateResponse:
        if self._mode == "busy":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "another scan is under way")
        if self._mode == "unreadable":
            context.abort(grpc.StatusCode.DATA_LOSS, "database disk image is malformed; this node stops")
        return cluster_pb2.ScanStateResponse(
            node=self._node,
            kept=cluster_pb2.StateHash(index=7, chain=b"\1" * 16, digest=b"\2" * 16),
            scanned_digest=(b"\3" if self._mode == "damaged" else b"\2") * 16,
            rows=12,
        )

    def TransferLeadership(
        self, request: cluster_pb2.TransferLeadershipRequest, context: Any
    ) -> cluster_pb2.TransferLeadershipResponse:
        if request.node != "n2":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{request.node} is too far behind")
        return cluster_pb2.TransferLeadershipResponse(leader=request.node)


def serve(config: ClusterConfig, node: str, mode: str) -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else lambda *_: ended.set())
    status = health_pb2.HealthCheckResponse
    checks = health.HealthServicer()
    checks.set("", status.NOT_SERVING if mode in {"silent", "new"} else status.SERVING)
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    cluster_pb2_grpc.add_ClusterServiceServicer_to_server(FakeCluster(config, node, mode), server)
    server.add_insecure_port(str(config.node(node).grpc))
    server.start()
    print(f"{node} is up", flush=True)
    while not ended.wait(0.1):  # a handler runs between waits, whichever thread the kernel gave the signal to
        pass
    server.stop(None)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["format", "rejoin", "run"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--cluster-id")
    arguments = parser.parse_args()
    config = load_cluster(arguments.config)
    mode_file = config.path.with_name(f"mode-{arguments.node}")
    mode = mode_file.read_text() if mode_file.exists() else ""
    if mode == f"refuse-{arguments.action}":
        print(f"{arguments.node} will not {arguments.action}", file=sys.stderr)
        return 2
    if mode == f"hang-{arguments.action}":
        signal.pause()
    if arguments.action == "run" and mode == "mute":
        return 7
    if arguments.action == "run":
        serve(config, arguments.node, mode)
        return 0
    config.node_dir(arguments.node).mkdir(exist_ok=True)
    identity = {"cluster": config.cluster, "cluster_id": arguments.cluster_id, "node": arguments.node}
    (config.node_dir(arguments.node) / "identity.json").write_text(json.dumps(identity))
    return 0


if __name__ == "__main__":
    sys.exit(main())
