"""Nobody is elected without a reason: `make calm MINUTES=10`. Minutes of idling, then minutes with every core busy.

While the cluster is loaded, buyers place orders as fast as they are answered, and one process for each core only burns
it. A leader that is healthy, only late, must stay the leader all the while. Exit status 1 if one did not.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.real_cluster import client, leader_of, local_cluster

from lastunit_client import LastUnitError
from lastunit_node.cli.local_cluster import LocalCluster

BUYERS = 64
LOOK_S = 1.0
OUT = Path("build/chaos/calm.json")


class Watch:
    """The terms that a cluster goes through; terms only grow."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    def _highest(self) -> int:
        return max(one.term or 0 for one in self._cluster.statuses().values())

    async def elections(self, seconds: float, what: str) -> int:
        """Watch for so long; the number of new terms, each of which somebody stood in."""
        before, end = self._highest(), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            print(f"\r{what}: {left:4.0f} s to go ", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(min(LOOK_S, left))
        print(file=sys.stderr)
        return await asyncio.to_thread(self._highest) - before


@contextmanager
def burning_cores() -> Iterator[None]:
    """One process for each core that only counts."""
    burn = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burn) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


async def buy(cluster: LocalCluster, counts: dict[str, int]) -> None:
    """Orders, one after the other, until cancelled."""
    async with client(cluster) as buyer, asyncio.TaskGroup() as buyers:

        async def order() -> None:
            while True:
                try:
                    counts["orders"] += (await buyer.place_order({"hot": 1})).accepted
                except LastUnitError:
                    counts["failed"] += 1

        for _ in range(BUYERS):
            buyers.create_task(order())


async def measure(cluster: LocalCluster, idle_s: float, load_s: float) -> dict[str, int | float]:
    """Elections while idle and under load, and how much was sold then."""
    async with client(cluster) as seller:
        await seller.receive_stock({"hot": 1_000_000})
    await leader_of(cluster)
    watch, counts = Watch(cluster), {"orders": 0, "failed": 0}
    idle = await watch.elections(idle_s, "idle")
    with burning_cores():
        buying = asyncio.create_task(buy(cluster, counts))
        loaded = await watch.elections(load_s, "all cores busy")
        buying.cancel()
        await asyncio.gather(buying, return_exceptions=True)
    found = {"idle_seconds": idle_s, "elections_idle": idle, "load_seconds": load_s, "elections_loaded": loaded}
    return found | counts


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make calm", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of idling; a fifth of it under load comes on top")
    parser.add_argument("--nodes", type=int, choices=[3, 5], default=3)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lastunit-calm-") as folder,
        local_cluster(Path(folder), given.nodes) as cluster,
    ):
        found = asyncio.run(measure(cluster, given.minutes * 60, given.minutes * 12))
    text = json.dumps({"nodes": given.nodes} | found, indent=2)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if found["elections_idle"] or found["elections_loaded"] else 0


if __name__ == "__main__":
    sys.exit(main())
