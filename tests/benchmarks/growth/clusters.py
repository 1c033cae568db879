"""The two clusters that are compared: same parameters, one empty, one with the large state."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.real_cluster import client, eventually, kill_all, write_config

from benchmarks.growth.load import NextSku
from benchmarks.growth.loader import sku_name
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster

EARLY_TRIM: Final = {"PYTHONPATH": str(Path(__file__).parent / "early_trim")}  # environment of every node
TICK_MS: Final = 100  # as cluster.yml comes
HOT: Final = "hot"
HOT_UNITS: Final = 1_000_000  # in one receipt
HOT_RECEIPTS: Final = 20
FEW_SKUS: Final = 1_000  # of the empty cluster
FEW_UNITS: Final = 100_000  # of each


@contextmanager
def prepared(folder: Path, name: str) -> Iterator[LocalCluster]:
    """A cluster without data; whatever of it runs is killed in the end."""
    (folder / name).mkdir()
    cluster = LocalCluster(load_cluster(write_config(folder / name, tick_ms=TICK_MS)))
    try:
        yield cluster
    finally:
        kill_all(cluster)


def start(cluster: LocalCluster, limit: float) -> None:
    """Start all nodes on the data they have; returns when all serve and their disks are admitted."""
    for node in cluster.nodes:
        cluster.start(node, EARLY_TRIM)
    cluster.wait_serving(limit)
    for node in cluster.nodes:
        cluster.wait_admitted(node, limit)


async def receive_hot(cluster: LocalCluster) -> None:
    """Units of the one sku that everybody wants."""
    async with client(cluster) as seller:
        for number in range(HOT_RECEIPTS):
            await seller.receive_stock({HOT: HOT_UNITS}, receipt_id=f"hot-{number}")


async def receive_few(cluster: LocalCluster) -> None:
    """The skus of the empty cluster."""
    async with client(cluster) as seller:
        await asyncio.gather(*(seller.receive_stock({sku_name(number): FEW_UNITS}) for number in range(FEW_SKUS)))


def hot() -> str:
    """The same sku every time."""
    return HOT


def any_of(skus: int) -> NextSku:
    """Any of so many skus, each as likely."""
    pick = random.Random(skus).randrange
    return lambda: sku_name(pick(skus))


async def settled(cluster: LocalCluster, limit: float) -> int:
    """Wait until every node has applied what the furthest one has; that index."""
    goal = max(status.applied_index or 0 for status in (await asyncio.to_thread(cluster.statuses)).values())
    await eventually(
        lambda: all((status.applied_index or 0) >= goal for status in cluster.statuses().values()),
        "all nodes are level",
        limit,
    )
    return goal
