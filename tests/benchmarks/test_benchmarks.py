"""The benchmark counts what it says: percentiles, schedules, medians, what is skipped, what does not count."""

import asyncio
import json
import random
import statistics
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.__main__ import chosen, main, parse
from benchmarks.histogram import Latencies
from benchmarks.measure import Sample, Span, closed_loop, intended_starts, open_loop
from benchmarks.pictures import draw_all
from benchmarks.plan import Case, Live, Operation, closed, require
from benchmarks.report import document, result, table, write
from benchmarks.rounds import Figure, Progress, Rounds
from benchmarks.systems.tigerbeetle import TigerBeetle

SPAN = Span(0.01, 0.15)
SHAPE = {"system", "workload", "callers", "batch", "nodes", "orders_per_s", "p50_ms", "p99_ms", "spread"}


class Shop:
    """A system that sells at once. wrong: every so many answers is a refusal; loses: it forgets one order."""

    name = "shop"
    nodes = 1
    cases: Sequence[Case] = (*closed("sell", 1, 4), Case("sell", 4, percent=75))

    def __init__(self, reason: str | None = None, wrong: int = 0, loses: bool = False) -> None:
        self._reason = reason
        self._wrong = wrong
        self._sold = -1 if loses else 0
        self.operations: Mapping[str, Operation] = {"sell": self._sell}

    def missing(self) -> str | None:
        return self._reason

    def version(self) -> str:
        return "1.0"

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        self._sold = min(self._sold, 0)
        yield self

    async def _sell(self, caller: int) -> int:
        await asyncio.sleep(0.0005)
        if self._wrong and caller == self._wrong:
            return 0
        self._sold += 1
        return 1

    async def check(self, done: Mapping[str, int]) -> None:
        require(self._sold == done["sell"], f"{done['sell']} were answered, {self._sold} are sold")


def ignore(now: Progress) -> None:
    """Tell nobody."""


def figure(rate: float, *seconds: float) -> Figure:
    return Figure(rate, Latencies(seconds))


def test_percentiles_are_exact_to_three_digits() -> None:
    rng = random.Random(1)
    seconds = [rng.lognormvariate(-6, 1) for _ in range(20_000)]
    cuts = statistics.quantiles(seconds, n=100)
    found = Latencies(seconds)
    assert len(found) == len(seconds)
    assert found.percentile_ms(50) == pytest.approx(cuts[49] * 1e3, rel=0.005)
    assert found.percentile_ms(99) == pytest.approx(cuts[98] * 1e3, rel=0.005)


def test_latencies_of_rounds_are_added() -> None:
    both = Latencies([0.001] * 98)
    both.add(Latencies([1.0] * 2))
    assert (len(both), both.percentile_ms(50)) == (100, 1.0)
    assert both.percentile_ms(99) == pytest.approx(1000, rel=0.001)


def test_latencies_beyond_the_scale_are_kept_at_its_ends() -> None:
    assert Latencies([0.0]).percentile_ms(50) == pytest.approx(0.001)
    assert Latencies([1e6]).percentile_ms(50) == pytest.approx(120_000, rel=0.001)
    assert Latencies().percentile_ms(99) == 0


def test_intended_starts_are_even() -> None:
    assert list(intended_starts(4, 1.5)) == [0, 0.25, 0.5, 0.75, 1.0, 1.25]


async def test_an_open_loop_charges_a_stall_to_all_who_should_have_begun() -> None:
    """One of 100 requests a second stands still for 0.2 s; with one caller, twenty begin late."""
    stalls = iter([0.2])

    async def ask(caller: int) -> int:
        await asyncio.sleep(next(stalls, 0))
        return 1

    sample = await open_loop(ask, callers=1, batch=1, orders_per_s=100, span=Span(0, 0.4))
    assert sample.right == sample.all_right == len(sample.latencies) == 40
    assert sorted(sample.latencies)[-19] > 0.01
    assert max(sample.latencies) >= 0.2


async def test_a_closed_loop_counts_only_its_time() -> None:
    asked = 0

    async def ask(caller: int) -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.001)
        return 10

    sample = await closed_loop(ask, callers=3, batch=10, span=Span(0.05, 0.1))
    assert sample.all_right == asked * 10
    assert (sample.seconds, sample.wrong) == (0.1, 0)
    assert 0 < sample.right < sample.all_right
    assert sample.right == 10 * len(sample.latencies)


async def test_wrong_answers_are_counted_apart() -> None:
    async def refuse(caller: int) -> int:
        await asyncio.sleep(0.001)
        return 3

    sample = await closed_loop(refuse, callers=1, batch=10, span=SPAN)
    assert sample.wrong * 3 == sample.all_right * 7


async def test_an_error_ends_a_loop() -> None:
    async def fail(caller: int) -> int:
        await asyncio.sleep(0)
        raise ConnectionError

    with pytest.raises(ExceptionGroup):
        await closed_loop(fail, callers=3, batch=1, span=SPAN)


def test_orders_a_second() -> None:
    assert Sample(right=60, seconds=3.0, latencies=array("d"), all_right=80, wrong=0).orders_per_s == 20


def test_a_result_is_the_median_of_the_rounds() -> None:
    figures = [figure(100.0, 0.001), figure(120.0, 0.003), figure(90.0, 0.002)]
    found = result(Shop(), Case("sell", 4, percent=75), figures)
    assert set(found) == SHAPE
    assert (found["workload"], found["orders_per_s"], found["spread"]) == ("sell, open loop 75 %", 100.0, 0.3)
    assert (found["p50_ms"], found["p99_ms"]) == pytest.approx((2.0, 2.0), rel=0.001)


async def test_a_run_measures_every_round_and_writes_it(tmp_path: Path) -> None:
    told: list[Progress] = []
    outcome = await Rounds([Shop(), Shop("no shop here")], 2, SPAN, told.append).run()
    assert [now.number for now in told] == list(range(1, 7))
    assert {now.total for now in told} == {6}
    assert not outcome.problems
    assert [len(figures) for figures in outcome.measured.values()] == [2, 2, 2]
    content = document(outcome, 2, SPAN)
    write(content, tmp_path / "new" / "latest.json")
    read = json.loads((tmp_path / "new" / "latest.json").read_text())
    assert {"machine", "date", "results"} <= set(read)
    assert all(set(row) == SHAPE for row in read["results"])
    assert table(read).row_count == 3


async def test_an_open_loop_goes_at_its_share_of_the_maximum() -> None:
    outcome = await Rounds([Shop()], 1, SPAN, ignore).run()
    rates = {
        case.label: figures[0].orders_per_s for (_, case), figures in outcome.measured.items() if case.callers == 4
    }
    assert 0 < rates["sell, open loop 75 %"] <= 0.76 * rates["sell"]


async def test_what_is_missing_is_skipped_with_a_line() -> None:
    outcome = await Rounds([Shop("install a shop"), TigerBeetle()], 3, SPAN, ignore).run()
    assert outcome.systems["shop"] == "skipped: install a shop"
    assert outcome.systems["tigerbeetle"].startswith("skipped: no servers")
    assert not outcome.measured
    assert not outcome.problems


async def test_a_turn_that_loses_an_order_does_not_count() -> None:
    outcome = await Rounds([Shop(loses=True)], 1, SPAN, ignore).run()
    assert not outcome.measured
    assert "does not count: CheckFailed" in outcome.problems[0]


async def test_a_measurement_with_wrong_answers_does_not_count() -> None:
    outcome = await Rounds([Shop(wrong=3)], 1, SPAN, ignore).run()
    assert [case.callers for _, case in outcome.measured] == [1]
    assert "wrong answers" in outcome.problems[0]


def test_pictures_are_drawn_from_the_file(tmp_path: Path) -> None:
    rows = [
        {"system": "lastunit", "workload": workload, "callers": 64, "batch": 1, "nodes": nodes, "orders_per_s": 1000.0}
        for workload in ("place", "place, open loop 75 %")
        for nodes in (3, 5)
    ]
    curves = [{**row, "ms_by_percentile": {"50": 1.0, "99.9": 9.0}} for row in rows]
    content = {"machine": "a machine", "date": "2026-01-01T00:00:00", "results": rows, "curves": curves}
    write(content, tmp_path / "latest.json")
    first = [path.read_bytes() for path in draw_all(tmp_path / "latest.json", tmp_path)]
    assert all(b"lastunit, 3 nodes" in svg and b"a machine" in svg for svg in first)
    assert first == [path.read_bytes() for path in draw_all(tmp_path / "latest.json", tmp_path)]


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert (parse([]).rounds, parse(["--quick"]).rounds) == (3, 1)
    assert chosen("etcd,lastunit") == ("etcd", "lastunit")
    with pytest.raises(SystemExit):
        main(["--only", "oracle"])
    assert "unknown: oracle" in capsys.readouterr().err
