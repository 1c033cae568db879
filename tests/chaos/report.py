"""The figures of a run as JSON, and as a page to look at."""

import json
from pathlib import Path
from typing import Any

from chaos.page import page
from chaos.recovery import recovery_figures
from chaos.run import Outcome
from chaos.verdict import call_figures

PARTITIONS = ("cut", "cut one way", "isolate")
PAUSES = ("pause leader", "pause follower")


def figures(outcome: Outcome) -> dict[str, Any]:
    """Everything that is published of a run."""
    history, faults = outcome.writer.history, outcome.faults
    recovery = recovery_figures(history)
    plan = outcome.plan
    return {
        **call_figures(history),
        **outcome.verdict.figures(),
        "kills": faults["kill leader"],
        "pauses": sum(faults[name] for name in PAUSES),
        "partitions": sum(faults[name] for name in PARTITIONS),
        "wipes": faults["wipe"],
        "clock_moves": faults["move clock"],
        "faults": dict(sorted(faults.items())),
        "recovery_ms": recovery["leader killed, nothing else wrong"],
        "recovery_ms_by": recovery,
        "seed": plan.seed,
        "nodes": plan.nodes,
        "seconds": plan.seconds,
        "command": f"make chaos MINUTES={plan.seconds / 60:g} NODES={plan.nodes} SEED={plan.seed}",
    }


def write_report(outcome: Outcome, folder: Path) -> str:
    """Write latest.json and latest.html; the figures as text."""
    found = figures(outcome)
    text = json.dumps(found, indent=2)
    (folder / "latest.json").write_text(text + "\n", encoding="utf-8")
    (folder / "latest.html").write_text(page(outcome.writer.history, found), encoding="utf-8")
    return text
