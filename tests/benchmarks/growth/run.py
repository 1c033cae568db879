"""One run, from the loading to the last figure."""

import asyncio
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from support.real_cluster import assert_nodes_agree, kill_all

from benchmarks.growth.clusters import any_of, hot, prepared, receive_few, receive_hot, settled, start
from benchmarks.growth.loader import Loaded, Tell, lay_out, load
from benchmarks.growth.report import Findings
from benchmarks.growth.returns import rejoin_under_load, restart
from benchmarks.growth.sizes import weigh
from benchmarks.growth.stalls import while_expiring, while_trimming
from benchmarks.growth.throughput import compare
from benchmarks.growth.ticks import sweep_offline
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.server import configure_command

BYTES_PER_RESERVATION: Final = 250  # on disk, as of a sku: somewhat more than was measured
BYTES_PER_SKU: Final = 150
HOLD_RATE: Final = 1 / 2  # of the rate of orders: so fast, at least, holds can be made
COPIES: Final = 6  # as made, three nodes, and two more while a node fetches one


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. Seconds: of one round, of the steady load, and the limit of a single wait."""

    skus: int
    reservations: int
    holds: int
    seconds: float
    rounds: int
    limit: float


class NoRoom(Exception):
    """The disk is too small for this run; nothing was made."""


def require_room(folder: Path, plan: Plan) -> None:
    """Raise NoRoom unless all copies of the state fit."""
    needed = (plan.reservations * BYTES_PER_RESERVATION + plan.skus * BYTES_PER_SKU) * COPIES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom(
            f"{plan.reservations:,} reservations take up to {needed / 1e9:.1f} GB in {folder}, where "
            f"{free / 1e9:.1f} GB are free: ask for fewer with --reservations, or choose another disk with "
            "--keep FOLDER or TMPDIR"
        )


async def run(plan: Plan, folder: Path, kept: Path, findings: Findings, tell: Tell) -> None:
    """Everything, in order. folder: for the clusters; kept: for the loaded state. Nothing runs when this returns."""
    findings.add("machine", machine())
    findings.add("plan", plan)
    with ExitStack() as stack:
        empty = stack.enter_context(prepared(folder, "empty"))
        large = stack.enter_context(prepared(folder, "loaded"))
        made = await asyncio.to_thread(load, kept, configure_command(large.config), plan.skus, plan.reservations, tell)
        findings.add("loaded", made)
        await asyncio.to_thread(lay_out, large.config, kept, made, tell)
        with showing_logs(large):
            await measure_both(plan, empty, large, made, findings, tell)
            await measure_large(plan, large, findings, tell)
        findings.add("ticks", await asyncio.to_thread(sweep_offline, large, large.nodes[0], plan.holds, tell))


@contextmanager
def showing_logs(cluster: LocalCluster) -> Iterator[None]:
    """When it fails, what the nodes said last."""
    try:
        yield
    except Exception:
        for node in cluster.nodes:
            print(f"--- {node}\n{cluster.log_tail(node, 20)}")
        raise


async def measure_both(
    plan: Plan, empty: LocalCluster, large: LocalCluster, made: Loaded, findings: Findings, tell: Tell
) -> None:
    """What is compared; the empty cluster is gone then."""
    findings.add("start", await start_both(plan, empty, large, tell))
    findings.add("throughput", await compare(empty, large, plan.skus, plan.seconds, plan.rounds, tell))
    findings.add("sizes", weigh(empty, large, made))
    steady_seconds = plan.seconds * plan.rounds
    tell(f"a steady load of {steady_seconds:g} s on each cluster while journals are trimmed")
    findings.add("trimming empty", await while_trimming(empty, hot, steady_seconds))
    await asyncio.to_thread(kill_all, empty)
    findings.add("trimming loaded", await while_trimming(large, any_of(plan.skus), steady_seconds))


async def measure_large(plan: Plan, large: LocalCluster, findings: Findings, tell: Tell) -> None:
    """What needs no comparison; the cluster is gone then."""
    any_sku = any_of(plan.skus)
    tell("restarting a follower after kill -9")
    findings.add("restart", await restart(large, plan.limit))
    tell(f"making {plan.holds:,} holds")
    rate = findings.figures["throughput"]["one hot sku"]["loaded"]["orders_per_s"] * HOLD_RATE
    findings.add("expiry", await while_expiring(large, any_sku, plan.holds, rate, plan.limit, tell))
    await settled(large, plan.limit)
    await assert_nodes_agree(large)
    tell("wiping a follower, which rejoins under a steady load")
    findings.add("rejoin", await rejoin_under_load(large, any_sku, plan.limit))
    if findings.figures["rejoin"]["came_back"]:
        await settled(large, plan.limit)
        await assert_nodes_agree(large)
    await asyncio.to_thread(kill_all, large)


async def start_both(plan: Plan, empty: LocalCluster, large: LocalCluster, tell: Tell) -> dict[str, float]:
    """Start both clusters and give them the skus that will be ordered; seconds until all nodes served."""
    tell("starting three nodes on the large state; each reads all of it first")
    begin = time.perf_counter()
    await asyncio.to_thread(start, large, plan.limit)
    seconds_large = time.perf_counter() - begin
    await assert_nodes_agree(large)
    begin = time.perf_counter()
    empty.format()
    await asyncio.to_thread(start, empty, plan.limit)
    seconds_empty = time.perf_counter() - begin
    await receive_few(empty)
    for cluster in (empty, large):
        await receive_hot(cluster)
    return {"three_nodes_empty_s": round(seconds_empty, 2), "three_nodes_loaded_s": round(seconds_large, 2)}


def machine() -> dict[str, Any]:
    """Where this ran, as far as figures depend on it."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpus": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "system": platform.system(),
    }
