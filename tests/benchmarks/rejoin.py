"""How long a wiped node takes to come back, while orders go on: `make bench-rejoin`. Three nodes on this machine.

A benchmark, not a test: fills the cluster with reservations, wipes one node, lets it rejoin, and prints the seconds
until its disk is admitted and it has applied what the others had.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from support.real_cluster import assert_nodes_agree, client, leader_of, local_cluster

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.processes import wait_until

LINES = 200  # callers at a time, while the cluster is filled


async def fill(cluster: LocalCluster, reservations: int) -> None:
    """So many confirmed reservations."""
    async with client(cluster, timeout=60.0) as buyer:
        await buyer.receive_stock({"vase": 900_000}, receipt_id="delivery-1")

        async def buy(first: int) -> None:
            for number in range(first, reservations, LINES):
                await buyer.place_order({"vase": 1}, reservation_id=f"fill-{number}")

        await asyncio.gather(*(buy(first) for first in range(LINES)))


async def keep_buying(cluster: LocalCluster, slowest: list[float]) -> None:
    """One order after the other; the longest wait goes to `slowest`."""
    async with client(cluster, timeout=60.0) as buyer:
        while True:
            begin = time.perf_counter()
            await buyer.place_order({"vase": 1})
            slowest[0] = max(slowest[0], time.perf_counter() - begin)


def rejoin(cluster: LocalCluster, node: str, limit: float) -> dict[str, float]:
    """Bring the node back; seconds from the command on."""
    goal = max(status.applied_index or 0 for status in cluster.statuses().values())
    begin = time.perf_counter()
    cluster.rejoin(node)
    cluster.start(node)
    cluster.wait_admitted(node, limit)
    seconds_admitted = time.perf_counter() - begin
    wait_until(lambda: (cluster.status(node).applied_index or 0) >= goal, limit)
    seconds_level = time.perf_counter() - begin
    cluster.wait_serving(limit, [node])
    return {
        "admitted_s": round(seconds_admitted, 2),
        "caught_up_s": round(seconds_level, 2),
        "serving_s": round(time.perf_counter() - begin, 2),
    }


async def measure(cluster: LocalCluster, reservations: int, limit: float) -> dict[str, float]:
    """Fill, wipe a follower, and time its return."""
    begin = time.perf_counter()
    await fill(cluster, reservations)
    filled = time.perf_counter() - begin
    leader = await leader_of(cluster)
    node = next(node for node in cluster.nodes if node != leader)
    await asyncio.to_thread(cluster.kill, node)
    shutil.rmtree(cluster.config.node_dir(node))
    slowest = [0.0]
    buying = asyncio.create_task(keep_buying(cluster, slowest))
    figures = await asyncio.to_thread(rejoin, cluster, node, limit)
    buying.cancel()
    await asyncio.wait([buying])
    await assert_nodes_agree(cluster)
    return {
        "reservations": reservations,
        "filled_s": round(filled, 1),
        **figures,
        "slowest_order_meanwhile_s": round(slowest[0], 3),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description="Time the return of a wiped node.")
    parser.add_argument("--reservations", type=int, default=100_000)
    parser.add_argument("--limit", type=float, default=120.0, help="give up after so many seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_cluster(Path(folder)) as cluster:
        figures = asyncio.run(measure(cluster, options.reservations, options.limit))
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name:28}{value:>12}\n")


if __name__ == "__main__":
    main()
