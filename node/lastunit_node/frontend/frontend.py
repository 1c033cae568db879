"""The front end as a whole: every service on one gRPC port, from start to stop."""

import asyncio
import socket
from collections.abc import Collection
from typing import Final, cast

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from lastunit.v1 import catchup_pb2, catchup_pb2_grpc, cluster_pb2, cluster_pb2_grpc, inventory_pb2, inventory_pb2_grpc
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.catchup import CatchUpService, StateFiles
from lastunit_node.frontend.cluster import ClusterService, NodeInfo
from lastunit_node.frontend.gate import Gate
from lastunit_node.frontend.health import Health
from lastunit_node.frontend.inventory import InventoryService
from lastunit_node.frontend.methods import Methods
from lastunit_node.frontend.reads import Reader
from lastunit_node.replica.interface import Replica
from lastunit_node.statemachine.limits import MAX_MESSAGE_BYTES

SERVICES: Final = (
    inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"].full_name,
    cluster_pb2.DESCRIPTOR.services_by_name["ClusterService"].full_name,
)
UNPARSED: Final = (*SERVICES, catchup_pb2.DESCRIPTOR.services_by_name["CatchUpService"].full_name)  # read by us
OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a port shared
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + (64 << 10)),  # so that slightly too much is named, not cut
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: gRPC inflates a message before it looks at its size
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # else 5 minutes: who asks more often is cut off
)
STOP_SECONDS: Final = 0.5  # for the last responses to leave


class CannotListenError(Exception):
    """The address cannot be bound: most often its port is taken."""


def _try_to_listen(address: str) -> None:
    """Raise OSError when the address cannot be bound; gRPC's own attempt writes noise to stderr."""
    host, _, port = address.rpartition(":")
    socket.create_server((host, int(port))).close()


class FrontEnd:
    """One node's gRPC server. Create it on the running event loop that the replica uses.

    start() -> serving; drain() -> NOT_SERVING, no new calls, those under way end; refuse(), until which the replica
    must outlive it; stop().
    """

    def __init__(
        self,
        *,
        cluster_name: str,
        node_name: str,
        version: str,
        address: str,
        replica: Replica,
        nodes: Collection[str],
        files: StateFiles,
    ) -> None:
        self.port = 0  # the one bound, once started
        self._address = address
        self._replica = replica
        self._gate = Gate()
        self._batcher = Batcher(replica)
        self._health = Health(SERVICES, self._serves)
        self._server = grpc.aio.server(options=OPTIONS)
        info = NodeInfo(cluster_name, node_name, version, nodes)
        reader = Reader(replica, self._batcher, self._gate.closed)
        self._cluster = ClusterService(info, replica, reader, self._batcher)
        self._add_services(InventoryService(self._batcher, reader, self._gate), CatchUpService(files, replica))

    async def start(self) -> None:
        """Bind the address and serve; CannotListenError when it cannot be bound."""
        try:
            _try_to_listen(self._address)
            self.port = self._server.add_insecure_port(self._address)
        except (OSError, RuntimeError) as error:
            problem = "its port is taken, or it is no address of this machine"
            raise CannotListenError(f"cannot listen on {self._address}: {problem}") from error
        self._batcher.start()
        await self._health.start()
        await self._server.start()

    async def drain(self, grace_seconds: float) -> bool:
        """Refuse new calls and let those under way end, for so long at most; whether all of them ended."""
        await self._health.drain()
        self._gate.close()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._gate.idle()
        except TimeoutError:
            return False
        return True

    async def transfer_leadership(self, target: str | None = None) -> str:
        """Hand leadership over while this node proposes nothing; the new leader's name. CallError when it fails."""
        return await self._cluster.transfer(target)

    async def refuse(self, quiet_seconds: float) -> None:
        """Ask nothing of the replica any more: calls under way are answered UNAVAILABLE, and so are those that come.

        Returns when none came for so long.
        """
        self._gate.close()
        await self._health.stop()
        await self._batcher.stop()
        await self._gate.hold_refusals(quiet_seconds)

    async def stop(self, hold_seconds: float) -> None:
        """Close the port, after refuse(). What came is held for so long, while its connections hear of the end."""
        stopping = asyncio.create_task(self._server.stop(hold_seconds + STOP_SECONDS))
        await asyncio.wait((stopping,), timeout=hold_seconds)
        self._gate.let_go()
        await stopping

    def _serves(self) -> bool:
        status = self._replica.status()
        return self._batcher.running and status.has_quorum and not status.is_behind and status.parameters is not None

    def _add_services(self, inventory: InventoryService, catchup: CatchUpService) -> None:
        methods = Methods(UNPARSED)
        server = cast("grpc.aio.Server", methods)  # to the generated functions
        inventory_pb2_grpc.add_InventoryServiceServicer_to_server(inventory, server)
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(self._cluster, server)
        catchup_pb2_grpc.add_CatchUpServiceServicer_to_server(catchup, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), server)
        self._server.add_generic_rpc_handlers((methods,))
