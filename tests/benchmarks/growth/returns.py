"""How long a node takes to come back to a large state: after kill -9, and with an empty disk."""

import asyncio
import shutil
import time
from contextlib import closing
from typing import Any

import psutil
from support.real_cluster import leader_of

from benchmarks.catchup import figure, lines_of
from benchmarks.growth.clusters import EARLY_TRIM
from benchmarks.growth.load import NextSku, steady_load
from benchmarks.rejoin import rejoin
from lastunit_node.cli.local_cluster import LocalCluster, NodeFaultError
from lastunit_node.cli.processes import wait_until
from lastunit_node.datadir import DataDirectory
from lastunit_node.statemachine.integrity import check_state


async def follower_of(cluster: LocalCluster) -> str:
    """A node that does not lead."""
    leader = await leader_of(cluster)
    return next(node for node in cluster.nodes if node != leader)


async def restart(cluster: LocalCluster, limit: float) -> dict[str, Any]:
    """kill -9 of a follower; then the seconds from its start until it serves, and until it is level."""
    node = await follower_of(cluster)
    await asyncio.to_thread(cluster.kill, node)
    reading, reading_cpu = await asyncio.to_thread(read_state, cluster, node)
    goal = max(status.applied_index or 0 for status in (await asyncio.to_thread(cluster.statuses)).values())
    begin = time.perf_counter()
    await asyncio.to_thread(cluster.start, node, EARLY_TRIM)
    await asyncio.to_thread(cluster.wait_serving, limit, [node])
    serving = time.perf_counter() - begin
    used = psutil.Process(cluster.running()[node]).cpu_times()
    level = await asyncio.to_thread(wait_until, lambda: (cluster.status(node).applied_index or 0) >= goal, limit)
    assert level, f"{node} is not level after {limit:g} s"
    return {
        "serving_s": round(serving, 2),
        "caught_up_s": round(time.perf_counter() - begin, 2),
        "cpu_until_serving_s": round(sum(used[:4]), 2),  # those of the processes that read the state, too
        "reading_the_state_s": round(reading, 2),
        "cpu_of_reading_the_state_s": round(reading_cpu, 2),
    }


def read_state(cluster: LocalCluster, node: str) -> tuple[float, float]:
    """What the check of all rows takes, which a node makes when it starts: seconds, and of CPU. The node is down."""
    directory = DataDirectory(cluster.config.node_dir(node), cluster.config.cluster, cluster.nodes, node)
    try:
        directory.open_journal(read_only=True).close()
        with closing(directory.open_reader()) as connection:
            begin, begin_cpu = time.perf_counter(), time.thread_time()
            check_state(connection, directory.state_path)
            return time.perf_counter() - begin, time.thread_time() - begin_cpu
    finally:
        directory.close()


async def rejoin_under_load(cluster: LocalCluster, next_sku: NextSku, limit: float) -> dict[str, Any]:
    """Wipe a follower and let it rejoin while a steady load goes on; seconds from the command on."""
    node = await follower_of(cluster)
    await asyncio.to_thread(cluster.kill, node)
    shutil.rmtree(cluster.config.node_dir(node))
    async with steady_load(cluster, next_sku) as recorder:
        figures = await asyncio.to_thread(try_rejoin, cluster, node, limit)
    return {**figures, "waits": recorder.waits()}


def try_rejoin(cluster: LocalCluster, node: str, limit: float) -> dict[str, Any]:
    """The seconds; or, when it did not come back in time, the last lines of its log."""
    try:
        figures = rejoin(cluster, node, limit)
        arrived = lines_of(cluster, node, "a copy of the state arrived")[-1]
        fetched, verified = figure(arrived, "fetch_seconds"), figure(arrived, "verify_seconds")
        return {"came_back": True, "fetched_in_s": fetched, "verified_in_s": verified, **figures}
    except NodeFaultError as fault:
        return {"came_back": False, "problem": str(fault), "log": cluster.log_tail(node, 12).splitlines()}
