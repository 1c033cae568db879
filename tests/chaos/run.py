"""One run: cluster, clients, nemesis, then peace, settlement, the final states, and the verdict."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.checker import check
from chaos.clients import Workload, to_level, to_reservation
from chaos.cluster import HOLD_CAP_TICKS, HOLD_TICKS, TICK_MS, ChaosCluster, chaos_cluster
from chaos.history import HistoryWriter, Level, Reservation, Run, State
from chaos.nemesis import Nemesis
from chaos.recovery import Probes
from chaos.verdict import Verdict
from lastunit_client import AsyncInventoryClient, LastUnitError, ReservationState
from lastunit_node.cli.errors import LocalClusterError

PEACE_S = 30.0  # for every node to serve once all faults are over
PAGE = 1_000
POLL_S = 0.1


@dataclass(frozen=True)
class Plan:
    """What is to be run. `seconds` of faults, `every_s` the mean time between two, `rate` in calls a second."""

    seed: int
    nodes: int = 3
    seconds: float = 600.0
    every_s: float = 2.0
    longest_s: float = 10.0
    buyers: int = 12
    rate: float = 100.0


@dataclass
class Outcome:
    """What came of it."""

    plan: Plan
    writer: HistoryWriter
    verdict: Verdict
    faults: Counter[str]


async def run(plan: Plan, folder: Path, history_file: Path) -> Outcome:
    """Everything. Whatever happens, no process of it is left."""
    names = tuple(f"n{number}" for number in range(1, plan.nodes + 1))
    first_line = Run(seed=plan.seed, nodes=names, tick_ms=TICK_MS, hold_ticks=HOLD_TICKS, hold_cap_ticks=HOLD_CAP_TICKS)
    verdict, began = Verdict(), time.monotonic()
    with history_file.open("w", encoding="utf-8") as file:
        writer = HistoryWriter(first_line, file)
        async with chaos_cluster(folder, plan.nodes) as cluster:
            await asyncio.to_thread(cluster.wait_serving, PEACE_S)
            try:
                faults = await _sell(plan, cluster, writer, verdict, lambda: time.monotonic() - began)
                await _final_states(cluster, writer, verdict)
            finally:
                keep_logs(cluster, history_file.parent)
    found = check(writer.history)
    for violation in verdict.violations:
        found.add(*violation)
    return Outcome(plan, writer, found, faults)


async def _sell(
    plan: Plan, cluster: ChaosCluster, writer: HistoryWriter, verdict: Verdict, now: Callable[[], float]
) -> Counter[str]:
    endpoints = {node: f"127.0.0.1:{port}" for node, port in cluster.client_ports.items()}
    workload = Workload(writer, now, endpoints, seed=plan.seed, buyers=plan.buyers, rate=plan.rate)
    probes = Probes(writer, now, {node: str(cluster.config.node(node).grpc) for node in cluster.nodes})
    nemesis = Nemesis(cluster, writer, verdict, now, seed=plan.seed, every_s=plan.every_s, longest_s=plan.longest_s)
    stop = asyncio.Event()
    await workload.deliver()
    workload.begin()
    probes.begin()
    asyncio.get_running_loop().call_later(plan.seconds, stop.set)
    try:
        await nemesis.run(stop)
        await _peace(cluster, verdict)
    finally:
        await asyncio.gather(workload.end(), probes.end())
    doubtful = await workload.settle()
    if doubtful:
        verdict.add("unended", f"{doubtful} commands were not answered even when all was well again")
    return nemesis.counts


async def _peace(cluster: ChaosCluster, verdict: Verdict) -> None:
    """With all faults over, every node serves again."""
    try:
        await asyncio.to_thread(cluster.wait_serving, PEACE_S)
    except LocalClusterError as problem:
        verdict.add("process", f"after all faults were over: {problem}")


def keep_logs(cluster: ChaosCluster, folder: Path) -> None:
    """What the nodes said, beside the history; the rest of their data goes."""
    for node in cluster.nodes:
        log = cluster.config.node_dir(node) / "node.log"
        if log.exists():
            shutil.copyfile(log, folder / f"{node}.log")


async def _final_states(cluster: ChaosCluster, writer: HistoryWriter, verdict: Verdict) -> None:
    """What every node has once no hold is open; nodes with the same share a record."""
    try:
        await _until_no_hold(cluster)
    except (LastUnitError, TimeoutError) as problem:
        stand = await asyncio.to_thread(cluster.statuses)
        verdict.add("state", f"the final states could not be read: {problem}\n" + "\n".join(map(str, stand.values())))
        return
    statuses = await asyncio.to_thread(cluster.statuses_at_one_index)
    found: list[State] = []
    for node in cluster.nodes:
        status = statuses[node]
        if status.chain is None:
            continue  # the checker says that its state was not read
        state = await _state_of(str(cluster.config.node(node).grpc))
        told = {node: f"{status.hash_index} {status.chain} {status.digest}"}
        same = next((at for at, one in enumerate(found) if (one.reservations, one.stock) == state), None)
        if same is None:
            found.append(State(hashes=told, reservations=state[0], stock=state[1]))
        else:
            found[same] = found[same].model_copy(update={"hashes": found[same].hashes | told})
    for one in found:
        writer.add(one)


async def _until_no_hold(cluster: ChaosCluster) -> None:
    async with AsyncInventoryClient(cluster.config.endpoints(), timeout=PEACE_S) as reader, asyncio.timeout(PEACE_S):
        while [one async for one in reader.list_reservations(state=ReservationState.HELD, page_size=PAGE)]:
            await asyncio.sleep(POLL_S)


async def _state_of(endpoint: str) -> tuple[tuple[Reservation, ...], tuple[Level, ...]]:
    async with AsyncInventoryClient([endpoint], timeout=PEACE_S) as reader:
        reservations = [to_reservation(one) async for one in reader.list_reservations(page_size=PAGE)]
        levels = [to_level(level) async for level in reader.list_stock(page_size=PAGE)]
    return tuple(reservations), tuple(levels)
