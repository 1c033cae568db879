"""What is printed: every act's numbers for people, every promised key for programs."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from lastunit_node.cli.errors import NodeFaultError
from lastunit_node.cli.sale.naive import NaiveNumbers
from lastunit_node.cli.sale.plan import SalePlan
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import Evidence
from lastunit_node.cli.sale.report import failed_report, sale_report
from lastunit_node.cli.sale.show import Show, open_console
from lastunit_node.cli.sale.verdict import judge

NAIVE = NaiveNumbers(units=2, placed=5, refused=0, left=-3)


@pytest.fixture
def printed() -> StringIO:
    return StringIO()


@pytest.fixture
def show(printed: StringIO) -> Show:
    return Show(Console(file=printed, width=100, highlight=False))


def test_the_report_has_every_promised_key(plan: SalePlan, evidence: Evidence) -> None:
    report = json.loads(json.dumps(sale_report(plan, NAIVE, evidence, judge(plan, evidence), 1.23456)))

    assert report["ok"] is True
    assert (report["units"], report["orders"], report["nodes"], report["seed"]) == (2, 5, 3, 1)
    assert report["seconds"] == 1.235
    assert (report["naive"]["placed"], report["naive"]["oversold"]) == (5, 3)
    cluster = report["cluster"]
    assert (cluster["placed"], cluster["refused"], cluster["payment_failed"], cluster["failed"]) == (2, 2, 1, 0)
    assert (cluster["oversold"], cluster["duplicate_units"], cluster["leader_kills"]) == (0, 0, 1)
    assert cluster["terms"] == [1, 2]
    assert report["zombie"]["outcome"] == "EXPIRED"
    assert report["state_hash_equal"] is True
    assert report["sold"][1] == {"order": "b-2", "units": [2], "token": "2.14.0"}


def test_a_broken_promise_is_in_the_report(plan: SalePlan, evidence: Evidence) -> None:
    broken = replace(evidence, kills=())
    report = sale_report(plan, NAIVE, broken, judge(plan, broken), 1.0)

    assert report["ok"] is False
    assert report["reasons"] == ["0 leaders were killed, 1 were to be"]


def test_a_report_without_any_node(plan: SalePlan, evidence: Evidence) -> None:
    empty = replace(evidence, nodes=())

    assert sale_report(plan, NAIVE, empty, judge(plan, empty), 1.0)["sold"] == []


def test_a_sale_that_could_not_be_held(plan: SalePlan) -> None:
    report = failed_report(plan, NAIVE, NodeFaultError("no ports", "line 1\nline 2"))

    assert (report["ok"], report["reasons"], report["seed"]) == (False, ["no ports", "line 1", "line 2"], 1)


def test_every_act_shows_its_numbers(plan: SalePlan, evidence: Evidence, show: Show, printed: StringIO) -> None:
    show.opening(plan)
    show.act_one()
    show.naive(NAIVE)
    show.act_two(plan)
    show.act_three(1)
    show.killed(evidence.kills[0])
    show.sold_out(evidence.buyers)
    show.act_four()
    show.zombie(evidence.zombie)
    show.ending(plan, evidence, judge(plan, evidence), 1.0)

    text = printed.getvalue()
    assert "2 vases, 5 buyers" in text
    assert "--seed 1 draws" in text
    assert "3 customers paid for a vase that does not exist" in text
    assert "kill -9 n1 (pid 4711), leader of term 1; n2 leads in term 2 after 0.40 s" in text
    assert "EXPIRED" in text
    assert ["b-2", "n2", "2", "2.14.0", "c-1"] in [line.split() for line in text.splitlines()]
    assert "Sold exactly once each." in text
    assert "\x1b" not in text


def test_a_wrong_sale_says_what_is_wrong(plan: SalePlan, evidence: Evidence, show: Show, printed: StringIO) -> None:
    broken = replace(evidence, terms=(2, 1))

    show.ending(plan, broken, judge(plan, broken), 1.0)

    assert "wrong: terms must rise: [2, 1]" in printed.getvalue()
    assert "FAILED." in printed.getvalue()


def test_no_act_three_without_kills(show: Show, printed: StringIO) -> None:
    show.act_three(0)

    assert "--kills 0" in printed.getvalue()


def test_a_node_that_did_not_start_shows_its_log(show: Show, printed: StringIO) -> None:
    show.failed(NodeFaultError("n1 ended before it served", "Address [already] in use"))

    assert printed.getvalue().splitlines() == ["n1 ended before it served", "Address [already] in use"]


async def test_nothing_moves_without_a_terminal(show: Show, printed: StringIO) -> None:
    with show.live(Progress()):
        pass

    assert printed.getvalue() == ""


async def test_a_terminal_shows_the_running_counts() -> None:
    printed = StringIO()
    progress = Progress()
    progress.holds, progress.placed = 5, 2

    with Show(Console(file=printed, force_terminal=True, width=100)).live(progress):
        pass

    assert "2 sold, 3 on hold, 0 refusals" in printed.getvalue()


def test_json_keeps_standard_output_for_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    Show(open_console(json=True)).act_three(0)

    assert capsys.readouterr() == ("", "")
