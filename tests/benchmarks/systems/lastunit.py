"""lastunit itself: real nodes, on the leader and through a follower, by its client, by plain RPCs and by messages."""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
from support.real_cluster import assert_nodes_agree, kill_all, leader_of, only, reader_endpoint, write_config

from benchmarks.plan import Live, Operation, closed, opened, require
from benchmarks.systems.orders import LIMIT_S, Messages, by_client, by_unary
from lastunit_client import AsyncInventoryClient, Outcome
from lastunit_node import __version__
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster

SKUS = 1_000
LINES = 3
LARGEST = 1_000_000  # units a line of a command
HOT_RECEIPTS = 20
MESSAGE = 100

THREE_NODES = [
    *closed("place", 1, 64, 256),
    *closed("place, follower", 1, 64, 256),
    *closed("place, unary", 1, 64),
    *closed("place, unary, follower", 1, 64),
    *closed("place, messages", 8, batch=MESSAGE),
    *closed("place, messages, follower", 8, batch=MESSAGE),
    *closed("place, 1,000 skus", 64, 256),
    *closed("place, 3 lines", 64, 256),
    *closed("reserve + confirm", 1, 64, 256),
    *closed("reserve + release", 64, 256),
    *closed("read, linearizable", 1, 64),
    *closed("read, stale", 1, 64),
    *opened("place", 256),
    *opened("place, unary", 64),
]
FIVE_NODES = [
    *closed("place", 1, 64, 256),
    *closed("place, follower", 64),
    *closed("place, unary", 1, 64),
    *closed("place, messages", 8, batch=MESSAGE),
]
QUICK = [
    *closed("place, unary", 1),
    *closed("place, unary, follower", 1),
    *closed("place", 1),
    *closed("place, follower", 1),
    *closed("place", 64, 256),
]


class LastUnit:
    """See plan.System."""

    name = "lastunit"

    def __init__(self, nodes: int = 3, quick: bool = False) -> None:
        self.nodes = nodes
        self.cases = QUICK if quick else THREE_NODES if nodes == 3 else FIVE_NODES

    def missing(self) -> None:
        """It is always here."""

    def version(self) -> str:
        """Ours."""
        return __version__

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        """A cluster with stock, and clients of it. Blocks while it starts: nothing else runs then."""
        cluster = LocalCluster(load_cluster(write_config(folder, self.nodes, tick_ms=100)))
        cluster.up()
        try:
            async with AsyncExitStack() as stack:
                leader = await leader_of(cluster)
                follower = next(node for node in cluster.nodes if node != leader)
                ends = [await _end(stack, cluster, node) for node in (leader, follower)]
                await _receive(ends[0][0])
                yield _Live(cluster, *ends)
        finally:
            kill_all(cluster)


_End = tuple[AsyncInventoryClient, grpc.aio.Channel]


async def _end(stack: AsyncExitStack, cluster: LocalCluster, node: str) -> _End:
    """A client and a channel of one node."""
    client = await stack.enter_async_context(only(cluster, node, LIMIT_S))
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(reader_endpoint(cluster, node)))
    return client, channel


async def _receive(client: AsyncInventoryClient) -> None:
    """Enough of everything."""
    for number in range(HOT_RECEIPTS):
        await client.receive_stock({"hot": LARGEST}, receipt_id=f"hot-{number}")
    for first in range(0, SKUS, 100):  # as many lines as a command may have
        await client.receive_stock({f"sku-{number}": LARGEST for number in range(first, first + 100)})


class _Live:
    """See plan.Live."""

    def __init__(self, cluster: LocalCluster, leader: _End, follower: _End) -> None:
        self._cluster = cluster
        self._client = client = leader[0]
        turn = itertools.count()

        def hot() -> dict[str, int]:
            return {"hot": 1}

        def spread() -> dict[str, int]:
            return {f"sku-{next(turn) % SKUS}": 1}

        def three() -> dict[str, int]:
            first = next(turn)
            return {f"sku-{(first + line * SKUS // LINES) % SKUS}": 1 for line in range(LINES)}

        self.operations: Mapping[str, Operation] = {
            "place": by_client(client, hot),
            "place, follower": by_client(follower[0], hot),
            "place, unary": by_unary(leader[1], "unary"),
            "place, unary, follower": by_unary(follower[1], "unary-f"),
            "place, messages": Messages(leader[1], "message", MESSAGE),
            "place, messages, follower": Messages(follower[1], "message-f", MESSAGE),
            "place, 1,000 skus": by_client(client, spread),
            "place, 3 lines": by_client(client, three),
            "reserve + confirm": self._reserve_and_confirm,
            "reserve + release": self._reserve_and_release,
            "read, linearizable": self._reader(stale=False),
            "read, stale": self._reader(stale=True),
        }

    async def _reserve_and_confirm(self, caller: int) -> int:
        held = await self._client.reserve({"hot": 1})
        if held.token is None:
            return 0
        sold = await self._client.confirm(held.request_id, held.token)
        return sold.outcome is Outcome.CONFIRMED

    async def _reserve_and_release(self, caller: int) -> int:
        held = await self._client.reserve({"hot": 1})
        freed = await self._client.release(held.request_id, held.token)
        return freed.outcome is Outcome.RELEASED

    def _reader(self, stale: bool) -> Operation:
        async def read(caller: int) -> int:
            return (await self._client.get_stock("hot", stale=stale)).received == HOT_RECEIPTS * LARGEST

        return read

    async def check(self, done: Mapping[str, int]) -> None:
        """Every order that was answered is sold, nothing else is, and all nodes have the same rows."""
        sold_nothing = ("read, linearizable", "read, stale", "reserve + release")
        orders = sum(count for workload, count in done.items() if workload not in sold_nothing)
        units = orders + (LINES - 1) * done.get("place, 3 lines", 0)
        levels = [level async for level in self._client.list_stock(page_size=1_000)]
        sold, held = sum(level.sold for level in levels), sum(level.held for level in levels)
        require((sold, held) == (units, 0), f"{units} units were answered as sold; {sold} are, and {held} are held")
        await assert_nodes_agree(self._cluster)
