"""A short chaos run: every promise is kept, and the report says so. `make chaos MINUTES=10` is the long one."""

import json
from pathlib import Path

from chaos.checker import check
from chaos.history import FaultRecord, History, read_history
from chaos.honest import HonestCluster
from chaos.latency import in_ms
from chaos.recovery import gaps
from chaos.report import write_report
from chaos.run import Plan, run

SHORT = Plan(seed=20, seconds=14.0, every_s=1.0, longest_s=1.5)


async def test_a_short_run_keeps_every_promise(tmp_path: Path) -> None:
    outcome = await run(SHORT, tmp_path, tmp_path / "history.jsonl")
    write_report(outcome, tmp_path)
    figures = json.loads((tmp_path / "latest.json").read_text(encoding="utf-8"))
    assert figures["violations"] == []
    assert (figures["lost"], figures["twice"], figures["oversold"], figures["duplicate_units"]) == (0, 0, 0, 0)
    assert figures["linearizable"]
    assert figures["acked"] > 200
    assert figures["kills"] + figures["pauses"] + figures["partitions"] >= 3
    assert "Every promise was kept" in (tmp_path / "latest.html").read_text(encoding="utf-8")
    assert check(read_history(tmp_path / "history.jsonl")).violations == []


def leader_hit(history: History, at: float) -> FaultRecord:
    return FaultRecord(name="kill leader", nodes=("n1",), began_at=at, ended_at=at + 1.0, term=0)


def test_a_gap_ends_with_the_first_order_at_another_node() -> None:
    history = HonestCluster(seed=3).run(entries=40)
    orders = sorted(
        call.returned_at or 0.0
        for call in history.calls
        if call.node != "n1" and call.answer and call.answer.token and not call.answer.replayed
    )
    history.faults.append(leader_hit(history, at=orders[5] + 0.001))
    (gap,) = gaps(history)
    assert gap.alone
    assert gap.seconds is not None
    assert abs(gap.seconds - (orders[6] - orders[5])) < 0.01


def test_a_gap_among_other_faults_is_told_apart_and_one_without_an_end_too() -> None:
    history = HonestCluster(seed=3).run(entries=40)
    history.faults += [
        leader_hit(history, at=5.0),
        FaultRecord(name="isolate", nodes=("n2",), began_at=4.9, ended_at=5.1),
        leader_hit(history, at=1e6),
    ]
    first, last = gaps(history)
    assert not first.alone
    assert last.seconds is None


def test_percentiles() -> None:
    assert in_ms([]) == {"count": 0, "p50": None, "p90": None, "p99": None, "max": None}
    assert in_ms([0.25, None]) == {"count": 1, "p50": 250.0, "p90": 250.0, "p99": 250.0, "max": 250.0}
    assert in_ms([number / 1000 for number in range(1, 102)])["p90"] == 91.0
