"""How long calls took, faults and all."""

import statistics
from collections import defaultdict
from collections.abc import Iterable

from chaos.history import History

Figures = dict[str, float | int | None]


def in_ms(seconds: Iterable[float | None]) -> Figures:
    """count, p50, p90, p99 and max, in milliseconds."""
    known = sorted(one * 1000 for one in seconds if one is not None)
    if not known:
        return {"count": 0, "p50": None, "p90": None, "p99": None, "max": None}
    cuts = statistics.quantiles(known, n=100, method="inclusive") if len(known) > 1 else known * 99
    shown = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": known[-1]}
    return {"count": len(known), **{name: round(value, 1) for name, value in shown.items()}}


def latency_figures(history: History) -> dict[str, Figures]:
    """By command; reads by how fresh they had to be."""
    took: dict[str, list[float]] = defaultdict(list)
    for call in history.calls:
        if call.returned_at is not None and call.came_to in {"answered", "not_found"}:
            name = call.command + (" (stale)" if call.arguments.stale else "")
            took[name].append(call.returned_at - call.called_at)
    return {name: in_ms(seconds) for name, seconds in sorted(took.items())}
