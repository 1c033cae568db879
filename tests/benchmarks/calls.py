"""How fast a local cluster answers: `make bench`. Three nodes, their clients and nothing else on this machine.

A benchmark, not a test: it prints what it measured and judges nothing. Every order is one unit of one hot sku.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import grpc
from support.real_cluster import client, leader_of, local_cluster, only, reader_endpoint

from lastunit.v1 import inventory_pb2, inventory_pb2_grpc
from lastunit_node.cli.local_cluster import LocalCluster

WARM_UP = 500  # calls; by then the journals' -wal files no longer grow, as in any node that has run for a while


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(cuts[49] * 1e3, 2), "p99_ms": round(cuts[98] * 1e3, 2)}


async def unary(cluster: LocalCluster, node: str, count: int) -> dict[str, float]:
    """One caller of plain PlaceOrder calls at one node."""
    took = []
    async with grpc.aio.insecure_channel(reader_endpoint(cluster, node)) as channel:
        stub = inventory_pb2_grpc.InventoryServiceStub(channel)
        for number in range(WARM_UP + count):
            line = inventory_pb2.Line(sku="hot", quantity=1)
            request = inventory_pb2.PlaceOrderRequest(reservation_id=f"unary-{node}-{number}", lines=[line])
            begin = time.perf_counter()
            await stub.PlaceOrder(request)
            took.append(time.perf_counter() - begin)
    return percentiles(took[WARM_UP:])


async def library(cluster: LocalCluster, node: str, count: int) -> dict[str, float]:
    """One caller of the client library at one node."""
    took = []
    async with only(cluster, node) as buyer:
        for _ in range(WARM_UP + count):
            begin = time.perf_counter()
            await buyer.place_order({"hot": 1})
            took.append(time.perf_counter() - begin)
    return percentiles(took[WARM_UP:])


async def together(cluster: LocalCluster, callers: int, count: int) -> dict[str, float]:
    """Many callers of one client, which batches for them."""
    took: list[float] = []

    async def call() -> None:
        for _ in range(count):
            begin = time.perf_counter()
            await buyer.place_order({"hot": 1})
            took.append(time.perf_counter() - begin)

    async with client(cluster) as buyer:
        begin = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        seconds = time.perf_counter() - begin
    return {"orders_per_second": round(callers * count / seconds), **percentiles(took)}


async def measure(cluster: LocalCluster, count: int) -> dict[str, dict[str, float]]:
    """Everything, one after the other."""
    async with client(cluster) as seller:
        await seller.receive_stock({"hot": 1_000_000})
    leader = await leader_of(cluster)
    follower = next(node for node in cluster.nodes if node != leader)
    return {
        "1 unary caller, leader": await unary(cluster, leader, count),
        "1 unary caller, follower": await unary(cluster, follower, count),
        "1 library caller, leader": await library(cluster, leader, count),
        "1 library caller, follower": await library(cluster, follower, count),
        "64 library callers": await together(cluster, 64, count // 10),
        "256 library callers": await together(cluster, 256, count // 10),
    }


def main() -> None:
    """Print one line a workload, or one JSON object."""
    parser = argparse.ArgumentParser(description="Measure a local cluster of three nodes.")
    parser.add_argument("--count", type=int, default=1_000, help="calls of a single caller")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_cluster(Path(folder)) as cluster:
        figures = asyncio.run(measure(cluster, options.count))
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for workload, values in figures.items():
        sys.stdout.write(f"{workload:30}" + "".join(f"{name} {value:>9}   " for name, value in values.items()) + "\n")


if __name__ == "__main__":
    main()
