"""What is printed: every act's numbers for people, every promised key for programs."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import pytest
from rich.console import Console

from lastunit_node.cli.errors import NodeFaultError, UnwrittenError
from lastunit_node.cli.sale.naive import NaiveNumbers
from lastunit_node.cli.sale.plan import Options, SalePlan, plan_sale
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


def tell(show: Show, plan: SalePlan, evidence: Evidence) -> None:
    """The whole story."""
    show.opening(plan)
    show.act_one()
    show.naive(NAIVE)
    show.act_two(plan)
    show.cluster_serves("n1", 1, 1.0)
    show.node_paused("n2", 0.3, buyers=2)
    show.act_three(1, sold=1)
    show.killed(evidence.kills[0])
    show.started_again("n1", 17, sold=2)
    show.sold_out(evidence.buyers)
    show.act_four()
    show.zombie(evidence.zombie)
    show.ending(plan, evidence, judge(plan, evidence), 1.0)


def test_every_act_shows_its_numbers(plan: SalePlan, evidence: Evidence, show: Show, printed: StringIO) -> None:
    tell(show, plan, evidence)

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


@pytest.mark.parametrize("width", [20, 30, 60, 100])
def test_no_width_hides_a_number(plan: SalePlan, evidence: Evidence, printed: StringIO, width: int) -> None:
    show = Show(Console(file=printed, width=width, highlight=False))

    show.act_one()
    show.note("a-long-word-is-" + 20 * "x")
    show.naive(NaiveNumbers(units=20, placed=51, refused=62, left=-73))
    show.ending(plan, replace(evidence, terms=(1001, 2002, 3003)), judge(plan, evidence), 1.0)

    text = printed.getvalue()
    numbers = ("51", "62", "-73", "31", "1001", "2002", "3003", "2.10.0", "2.14.0", "b-2", "c-1")
    assert [number for number in numbers if number not in text] == []
    assert "\u2026" not in text, "nothing is cut off"
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [20, 100])
@pytest.mark.parametrize("is_terminal", [True, False])
async def test_the_story_can_be_told_in_ascii(
    plan: SalePlan, evidence: Evidence, width: int, is_terminal: bool
) -> None:
    written = BytesIO()
    console = Console(file=TextIOWrapper(written, encoding="ascii"), width=width, force_terminal=is_terminal)
    show = Show(console)

    tell(show, plan, evidence)
    with show.live(Progress()):
        pass

    assert b"exactly once" in written.getvalue()


@contextmanager
def full_disk() -> Iterator[TextIO]:
    with Path("/dev/full").open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def ascii_alone() -> Iterator[TextIO]:
    yield TextIOWrapper(BytesIO(), encoding="ascii")


@contextmanager
def closed() -> Iterator[None]:
    """By who started this program."""
    yield None


@pytest.mark.parametrize("output", [full_disk, ascii_alone, closed])
def test_what_standard_output_does_not_take_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, output: Callable[[], AbstractContextManager[TextIO | None]]
) -> None:
    with output() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(UnwrittenError):
            Show(open_console(json=False)).note("caf\u00e9")


def test_a_standard_error_that_is_closed_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    Show(open_console(json=True)).act_one()

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kills", "sold", "title"),
    [
        (1, 1, "the leader is killed, in the middle of the sale"),
        (3, 0, "the leader is killed, before a vase is sold"),
        (0, 0, "no leader is killed"),
    ],
)
def test_act_three_says_when_it_comes(show: Show, printed: StringIO, kills: int, sold: int, title: str) -> None:
    show.act_three(kills, sold)

    assert f"Act 3: {title} " in printed.getvalue()


@pytest.mark.parametrize(("buyers", "told"), [(0, ""), (1, "; 1 buyer got no"), (5, "; 5 buyers got no")])
def test_a_pause_is_one_for_buyers_that_call_that_node_first(
    show: Show, printed: StringIO, buyers: int, told: str
) -> None:
    show.node_paused("n2", 0.25, buyers)

    assert f"n2, a follower, stood still for 250 ms (SIGSTOP){told}" in printed.getvalue()
    assert ("buyer" in printed.getvalue()) is (buyers > 0)


@pytest.mark.parametrize(("orders", "told"), [(4, ""), (5, "1 card will be"), (10, "2 cards will be")])
def test_cards_are_declined_where_there_are_bad_ones(show: Show, printed: StringIO, orders: int, told: str) -> None:
    show.act_two(plan_sale(Options(units=2, orders=orders, nodes=3, kills=1, seed=1)))

    text = " ".join(printed.getvalue().split())
    assert told in text
    assert ("will be declined" in text) is (orders >= 5)
