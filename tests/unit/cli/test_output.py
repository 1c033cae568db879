"""What is printed: plain data for programs, literal text for people, nothing on stdout but the answer."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lastunit_client import CommandResult, FencingToken, Outcome, Shortage, StateHash, UnitLine, UnitRange
from lastunit_node.cli import output, rendering
from lastunit_node.cli.node_status import NodeStatus
from lastunit_node.cli.processes import ProcessState

RESULT = CommandResult(
    request_id="order:smile:[red]1[/red]",
    outcome=Outcome.ORDER_PLACED,
    replayed=True,
    result_index=14,
    applied_index=20,
    token=FencingToken(2, 14, 0),
    expires_at_tick=0,
    units=(UnitLine("mug", (UnitRange(4, 4),)), UnitLine("vase", (UnitRange(1, 3), UnitRange(7, 7)))),
    shortages=(Shortage("vase", 3, 1),),
    reservation=None,
)


def test_json_is_plain_data() -> None:
    data = output.as_json({"result": RESULT, "hash": StateHash(7, b"\1", b"\xff"), "process": ProcessState.DOWN})
    assert json.loads(json.dumps(data)) == data
    assert data["result"]["outcome"] == "ORDER_PLACED"
    assert data["result"]["token"] == "2.14.0"
    assert data["result"]["units"][1] == {"sku": "vase", "ranges": [{"first": 1, "last": 3}, {"first": 7, "last": 7}]}
    assert (data["hash"]["digest"], data["process"]) == ("ff", "down")


def test_progress_that_stderr_does_not_take_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        with output.progress("waiting") as line:
            line.update("still waiting")
    monkeypatch.setattr(sys, "stderr", None)
    with output.progress("waiting"):
        pass


def test_a_result_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    rendering.show_result(RESULT)
    printed = capsys.readouterr().out
    for words in ("ORDER_PLACED (answered before)", "mug 4, vase 1-3,7", "2.14.0", "vase: 3 wanted, 1 available"):
        assert words in printed
    assert "expires" not in printed, "facts that say nothing are left out"


def test_a_status_fits_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After a year of ticks, with a pid as large as they get, and the longest words."""
    monkeypatch.setattr(output, "stdout", lambda: Console(width=80))
    catching_up = NodeStatus(
        node="n1",
        process=ProcessState.RUNNING,
        pid=4_194_304,
        role="follower",
        term=1_234,
        applied_index=123_456_789,
        clock=315_360_000,
        is_admitted=False,
        digest="c" * 32,
    )
    rendering.show_statuses([catching_up, NodeStatus("n2", ProcessState.RUNNING, 4_194_304)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["node", "pid", "process", "role", "term", "applied", "clock", "state", "hash"]
    assert lines[2] == ["n1", "4194304", "running", "not", "admitted", "1234", "123456789", "315360000", "cccccccc"]
    assert lines[3] == ["n2", "4194304", "no", "answer", "-", "-", "-", "-", "-"]


def test_ids_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    rendering.show_result(RESULT)
    output.print_table(["id"], [[RESULT.request_id]])
    output.complain(f"no {RESULT.request_id}")
    printed = capsys.readouterr()
    assert printed.out.count(RESULT.request_id) == 2
    assert printed.err == f"lastunit: no {RESULT.request_id}\n"


def test_a_long_complaint_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("very\nlong " * 100)
    assert capsys.readouterr().err.count("\n") == 1


def test_somebody_elses_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.quote("one\n[two]")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "  | one\n  | [two]\n")


def test_a_table_in_a_pipe_is_not_squeezed(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["id", "units"], [["r" * 64, "u" * 64], ["-", None]])
    printed = capsys.readouterr().out
    assert "r" * 64 in printed
    assert "u" * 64 in printed


def test_an_empty_list_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["id", "units"], [])
    assert capsys.readouterr().out.split()[:2] == ["id", "units"]
    output.print_json_list("stock", [])
    assert json.loads(capsys.readouterr().out) == {"stock": []}
