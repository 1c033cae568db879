"""How long a node that is too far behind takes to be level again: `make bench-catchup`.

A local cluster whose nodes keep few log entries takes orders while one node is down; that node then fetches a copy of
the state, verifies it, installs it and follows. Each order is one reservation of one unit. Judges nothing.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from support.real_cluster import (
    SMALL_MARGINS,
    assert_nodes_agree,
    client,
    eventually,
    kill_all,
    leader_of,
    only,
    reader_endpoint,
    write_config,
)

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster
from lastunit_node.datadir import DataDirectory
from lastunit_node.statemachine.integrity import check_state

CALLERS = 256
SINGLE = 100  # orders that are an entry each, so that the log is trimmed past the node that is down
LIMIT_SECONDS = 60.0


async def place_orders(cluster: LocalCluster, count: int) -> None:
    """So many, as fast as it goes."""
    numbers = iter(range(count))

    async def call() -> None:
        for number in numbers:
            assert (await buyer.place_order({"vase": 1}, reservation_id=f"order-{number}", timeout=60.0)).accepted

    async with client(cluster) as buyer:
        await buyer.receive_stock({"vase": 2 * count}, receipt_id="delivery")
        await asyncio.gather(*(call() for _ in range(CALLERS)))
        for number in range(SINGLE):
            await buyer.place_order({"vase": 1}, reservation_id=f"single-{number}")


async def applied_index(cluster: LocalCluster, node: str) -> int:
    """How far a node is."""
    async with only(cluster, node) as reader:
        return (await reader.status(reader_endpoint(cluster, node))).applied_index


def lines_of(cluster: LocalCluster, node: str, event: str) -> list[str]:
    """Lines of a node's log with this event."""
    return [line for line in cluster.log_tail(node, 1_000).splitlines() if event in line]


def moment_of(line: str) -> float:
    """When a line was written."""
    found = re.match(r"timestamp=(\S+)", line)
    assert found, line
    return datetime.fromisoformat(found[1]).timestamp()


def figure(line: str, name: str) -> float:
    """A number in a line."""
    found = re.search(rf"\b{name}=([\d.]+)", line)
    assert found, line
    return float(found[1])


async def come_back(cluster: LocalCluster, node: str, index: int) -> dict[str, float]:
    """Start the node, and follow it until it has applied what the others had when it started."""
    begin = time.time()
    await asyncio.to_thread(cluster.start, node, SMALL_MARGINS)
    await eventually(lambda: bool(lines_of(cluster, node, "is installed")), "installed", LIMIT_SECONDS)
    await eventually(
        lambda: (cluster.status(node).applied_index or 0) >= index and (cluster.status(node).has_quorum or False),
        "level",
        LIMIT_SECONDS,
    )
    end = time.time()
    fetching, arrived, installed, serving = (
        lines_of(cluster, node, event)[-1]
        for event in ("fetching a copy", "a copy of the state arrived", "is installed", "event=serving")
    )
    return {
        "until the fetch begins": moment_of(fetching) - begin,
        "fetch": figure(arrived, "fetch_seconds"),
        "verify": figure(arrived, "verify_seconds"),
        "stop and install": moment_of(installed) - moment_of(arrived),
        "start again": moment_of(serving) - moment_of(installed),
        "until level": end - moment_of(serving),
        "all": end - begin,
        "megabytes": figure(arrived, "bytes") / 1e6,
    }


def check_at_start(cluster: LocalCluster, node: str) -> dict[str, float]:
    """What reading the whole state takes a node that starts."""
    directory = DataDirectory(cluster.config.node_dir(node), cluster.config.cluster, cluster.nodes, node)
    directory.open_journal(read_only=True).close()
    with closing(directory.open_reader()) as connection:
        begin = time.perf_counter()
        check_state(connection, directory.state_path)
        seconds = time.perf_counter() - begin
    directory.close()
    return {"check of a state at start": seconds}


async def measure(cluster: LocalCluster, count: int) -> dict[str, float]:
    """The whole story."""
    leader = await leader_of(cluster)
    behind = next(node for node in cluster.nodes if node != leader)
    await asyncio.to_thread(cluster.kill, behind)
    begin = time.perf_counter()
    await place_orders(cluster, count)
    placed = time.perf_counter() - begin
    figures = await come_back(cluster, behind, await applied_index(cluster, leader))
    await assert_nodes_agree(cluster)
    await asyncio.to_thread(cluster.down)
    return {"placing the orders": placed, **figures, **check_at_start(cluster, behind)}


def main() -> None:
    """Print one line a step, or one JSON object; seconds unless it says otherwise."""
    parser = argparse.ArgumentParser(description="Time a copy of a state in a local cluster of three nodes.")
    parser.add_argument("--reservations", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = LocalCluster(load_cluster(write_config(Path(folder))))
        cluster.format()
        try:
            for node in cluster.nodes:
                cluster.start(node, SMALL_MARGINS)
            cluster.wait_serving()
            figures = asyncio.run(measure(cluster, options.reservations))
        finally:
            kill_all(cluster)
    figures = {name: round(value, 3) for name, value in figures.items()}
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name:30}{value:>10.3f}\n")


if __name__ == "__main__":
    main()
