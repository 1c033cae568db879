"""How long orders stand still when a leader is killed, nothing else being wrong: lastunit, and etcd beside it.

    make failover KILLS=100     one JSON object; etcd is measured where `etcd` (Debian's etcd-server) is installed

One and the same loop for all: probes at every node write one small thing every 20 ms; the leader gets kill -9 and
is started again; the gap begins when the signal is sent, and ends with the first answer at another node that was given
in a later term. What the killed leader had committed may still be answered meanwhile: that ends no gap. Then all nodes
have to be well before the next kill.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from support.real_cluster import local_cluster, only

from chaos.etcd import PROGRAM, etcd_cluster
from chaos.latency import Figures, in_ms
from chaos.targets import Leader, Target, kill_now
from lastunit_client import AsyncInventoryClient, LastUnitError
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.processes import ProcessState, wait_until

PROBE_PAUSE_S = 0.02
ORDER_LIMIT_S = 2.0
WELL_LIMIT_S = 30.0
GAP_LIMIT_S = 30.0
GONE_LIMIT_S = 10.0
LOOK_S = 0.01
OUT = Path("build/chaos/failover.json")


class Written(NamedTuple):
    """One thing that was committed. The latest one is that of the latest term."""

    term: int
    called_at: float
    node: str


class Gauge:
    """Probes at all nodes of one target, and the gaps that they saw."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._latest: dict[str, Written] = {}

    async def measure(self, kills: int, rng: random.Random) -> list[float]:
        """Kill so many leaders; the gaps in seconds."""
        probes = [asyncio.create_task(self._probe(node)) for node in self._target.nodes]
        try:
            gaps = []
            for number in range(1, kills + 1):
                gaps.append(await self._kill(rng))
                print(f"\r{number} of {kills} kills ", end="", file=sys.stderr, flush=True)
            return gaps
        finally:
            print(file=sys.stderr)
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)

    async def _probe(self, node: str) -> None:
        """Begin one write after the other, also while earlier ones wait for a leader that is dead."""
        async with asyncio.TaskGroup() as writes:
            while True:
                writes.create_task(self._write(node))
                await asyncio.sleep(PROBE_PAUSE_S)

    async def _write(self, node: str) -> None:
        called_at = time.monotonic()
        term = await self._target.write(node)
        if term is not None:
            self._latest[node] = max(self._latest.get(node, Written(0, 0.0, node)), Written(term, called_at, node))

    async def _kill(self, rng: random.Random) -> float:
        leader = await self._well()
        await asyncio.sleep(rng.uniform(0.1, 0.6))  # at no particular moment between two heartbeats
        killed_at = await self._target.kill(leader.node)
        async with asyncio.timeout(GAP_LIMIT_S):
            while not any(self._counts(one, leader) for one in self._latest.values()):
                await asyncio.sleep(LOOK_S / 10)
        seconds = time.monotonic() - killed_at
        await self._target.start(leader.node)
        return seconds

    @staticmethod
    def _counts(one: Written, killed: Leader) -> bool:
        return one.node != killed.node and one.term > killed.term

    async def _well(self) -> Leader:
        """Wait until every node is well, and a probe at each of them gets answers."""
        began = time.monotonic()
        async with asyncio.timeout(WELL_LIMIT_S):
            while True:
                leader = await self._target.leader()
                fresh = [one for one in self._latest.values() if one.called_at > began]
                if leader is not None and len(fresh) == len(self._target.nodes):
                    return leader
                await asyncio.sleep(LOOK_S)


class LastUnit:
    """Three of our own nodes."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.nodes = cluster.nodes
        self._cluster = cluster
        self._clients: dict[str, AsyncInventoryClient] = {
            node: only(cluster, node, ORDER_LIMIT_S) for node in self.nodes
        }

    async def write(self, node: str) -> int | None:
        """Sell one unit."""
        try:
            sold = await self._clients[node].place_order({"hot": 1})
        except LastUnitError:
            return None
        return sold.token.term if sold.token else None

    async def leader(self) -> Leader | None:
        """See Target."""
        statuses = await asyncio.to_thread(self._cluster.statuses)
        leaders = [one for one in statuses.values() if one.role == "leader" and one.has_quorum]
        names = {one.leader for one in statuses.values()}
        if len(leaders) != 1 or names != {leaders[0].node}:
            return None
        return Leader(leaders[0].node, leaders[0].term or 0)

    async def kill(self, node: str) -> float:
        """See Target."""
        pids = await asyncio.to_thread(self._cluster.running)
        return kill_now(pids[node])

    async def start(self, node: str) -> None:
        """See Target."""
        await asyncio.to_thread(self._start, node)

    def _start(self, node: str) -> None:
        wait_until(lambda: self._cluster.state(node) is ProcessState.DOWN, GONE_LIMIT_S)
        self._cluster.start(node)

    async def close(self) -> None:
        """Close its clients."""
        await asyncio.gather(*(each.close() for each in self._clients.values()))


@asynccontextmanager
async def lastunit_cluster(folder: Path) -> AsyncIterator[Target]:
    """Three nodes and enough to sell."""
    with local_cluster(folder) as cluster:
        target = LastUnit(cluster)
        async with only(cluster, "n1") as seller:
            await seller.receive_stock({"hot": 1_000_000})
        try:
            yield target
        finally:
            await target.close()


async def measure(made: AbstractAsyncContextManager[Target], kills: int, seed: int) -> Figures:
    """Figures of one target."""
    async with made as target:
        return in_ms(await Gauge(target).measure(kills, random.Random(seed)))


async def compare(kills: int, seed: int, folder: Path) -> dict[str, Figures]:
    """All targets, one after the other."""
    found = {"lastunit": await measure(lastunit_cluster(folder), kills, seed)}
    if PROGRAM is not None:
        plain = etcd_cluster(folder / "etcd", heartbeat_ms=100, election_ms=1000)
        found["etcd, its defaults (heartbeat 100 ms, election 1000 ms)"] = await measure(plain, kills, seed)
        same = etcd_cluster(folder / "etcd-same", heartbeat_ms=50, election_ms=500)
        found["etcd, our timers (heartbeat 50 ms, election 500 ms)"] = await measure(same, kills, seed)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make failover", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lastunit-failover-") as folder:
        found = asyncio.run(compare(given.kills, given.seed, Path(folder)))
    text = json.dumps({"kills": given.kills, "seed": given.seed, "recovery_ms": found}, indent=2)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
