"""The command line: options, exit statuses, and nothing but the object on standard output with --json."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lastunit_node.cli.errors import ExitStatus
from lastunit_node.cli.program import run
from lastunit_node.cli.sale import command
from lastunit_node.cli.sale.plan import Options
from lastunit_node.cli.sale.run import SaleResult
from lastunit_node.cli.sale.show import Show

app = typer.Typer()
app.command()(command.sale)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The options of the sales that were asked for; each is held at once and ends well."""
    asked: list[Options] = []

    async def hold_sale(options: Options, show: Show) -> SaleResult:
        asked.append(options)
        return SaleResult({"ok": True}, ExitStatus.ACCEPTED)

    monkeypatch.setattr(command, "hold_sale", hold_sale)
    return asked


def test_defaults(asked: list[Options]) -> None:
    assert CliRunner().invoke(app, []).exit_code == 0

    options = asked[0]
    assert (options.units, options.orders, options.nodes, options.kills) == (10, 15, 3, 1)


def test_options(asked: list[Options]) -> None:
    CliRunner().invoke(app, ["--units", "40", "--orders", "200", "--nodes", "5", "--kills", "3", "--seed", "9"])

    assert asked == [Options(40, 200, 5, 3, 9)]


def test_seeds_differ(asked: list[Options]) -> None:
    for _ in range(5):
        CliRunner().invoke(app, [])

    assert len({options.seed for options in asked}) > 1


@pytest.mark.parametrize(
    "arguments", [["--units", "0"], ["--orders", "0"], ["--nodes", "4"], ["--kills", "-1"], ["--seed", "x"]]
)
def test_bad_options(asked: list[Options], arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert asked == []


def test_json_is_one_object(asked: list[Options]) -> None:
    assert json.loads(CliRunner().invoke(app, ["--json"]).stdout) == {"ok": True}


def test_without_json_no_object(asked: list[Options]) -> None:
    assert CliRunner().invoke(app, []).stdout == ""


@pytest.mark.parametrize("status", [ExitStatus.REFUSED, ExitStatus.FAILED])
def test_a_sale_that_went_wrong(monkeypatch: pytest.MonkeyPatch, status: ExitStatus) -> None:
    async def hold_sale(options: Options, show: Show) -> SaleResult:
        return SaleResult({"ok": False}, status)

    monkeypatch.setattr(command, "hold_sale", hold_sale)

    assert CliRunner().invoke(app, ["--json"]).exit_code == status


@pytest.mark.parametrize("number", command.STOP_SIGNALS)
def test_a_signal_stops_it_after_it_cleaned_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    cleaned_up = []

    async def hold_sale(options: Options, show: Show) -> SaleResult:
        try:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(True)
        raise AssertionError("was not stopped")

    monkeypatch.setattr(command, "hold_sale", hold_sale)

    before = signal.signal(number, signal.SIG_DFL)  # tests may have been started with nohup themselves
    try:
        assert run(["sale", "--json"]) == 130
    finally:
        signal.signal(number, before)
    assert json.loads(capsys.readouterr().out)["message"] == "stopped; nothing is left of the cluster"
    assert cleaned_up == [True]


def test_a_sale_started_with_nohup_goes_on_when_its_terminal_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hold_sale(options: Options, show: Show) -> SaleResult:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return SaleResult({"ok": True}, ExitStatus.ACCEPTED)

    monkeypatch.setattr(command, "hold_sale", hold_sale)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(["sale", "--json"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_sale_that_cannot_be_told_ends_as_other_commands_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run(["sale"]) == ExitStatus.INDEFINITE
    assert capsys.readouterr().err == "lastunit: the answer could not be written: No space left on device\n"
