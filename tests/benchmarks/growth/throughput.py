"""The same load on both clusters, in turns, so that whatever else the machine does meets both."""

import statistics
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from support.real_cluster import assert_nodes_agree

from benchmarks.growth.clusters import FEW_SKUS, any_of, hot
from benchmarks.growth.load import NextSku, Waits, saturate
from benchmarks.growth.loader import Tell
from lastunit_node.cli.local_cluster import LocalCluster


def medians(rounds: Sequence[Waits]) -> Waits:
    """The median of each figure; of waits that show only now and then, the largest."""
    values = {field.name: [getattr(waits, field.name) for waits in rounds] for field in fields(Waits)}
    worst = {"slowest_ms", "longest_gap_ms"}
    return Waits(**{name: max(each) if name in worst else statistics.median(each) for name, each in values.items()})


def ratio(loaded: Waits, empty: Waits) -> float:
    """Throughput of the large state, as a part of the empty one's."""
    return round(loaded.orders_per_s / empty.orders_per_s, 3)


async def compare(
    empty: LocalCluster, loaded: LocalCluster, skus: int, seconds: float, rounds: int, tell: Tell
) -> dict[str, Any]:
    """Per workload: empty, loaded, ratio, and the orders per second of every round."""
    found: dict[str, Any] = {}
    few, many = any_of(min(skus, FEW_SKUS)), any_of(skus)
    for workload, on_empty, on_loaded in (("one hot sku", hot, hot), ("any sku", few, many)):
        tell(f"64 callers, {workload}: {rounds} rounds of {seconds:g} s on each cluster")
        pairs = [await one_round(empty, on_empty, loaded, on_loaded, seconds) for _ in range(rounds)]
        on_empties, on_loadeds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        waits_empty, waits_loaded = medians(on_empties), medians(on_loadeds)
        found[workload] = {
            "empty": waits_empty,
            "loaded": waits_loaded,
            "ratio": ratio(waits_loaded, waits_empty),
            "rounds_empty": [waits.orders_per_s for waits in on_empties],
            "rounds_loaded": [waits.orders_per_s for waits in on_loadeds],
        }
    return found


async def one_round(
    empty: LocalCluster, on_empty: NextSku, loaded: LocalCluster, on_loaded: NextSku, seconds: float
) -> tuple[Waits, Waits]:
    """One after the other, each beside a cluster whose followers have applied the rest."""
    first = await saturate(empty, on_empty, seconds)
    await assert_nodes_agree(empty)
    second = await saturate(loaded, on_loaded, seconds)
    await assert_nodes_agree(loaded)
    return first, second
