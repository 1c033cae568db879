"""What keeps a command from its answer: never exit status 1, which says for certain that nothing was done."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO
from unittest.mock import MagicMock

import pytest

from lastunit_client import CommandResult, FencingToken, InventoryClient, Outcome, StockLevel
from lastunit_node import __version__
from lastunit_node.cli import inventory_commands
from lastunit_node.cli.main import main
from lastunit_node.cli.program import run

Command = Callable[..., int]
Output = Callable[[], AbstractContextManager[TextIO]]
PLACED = CommandResult("my-1", Outcome.ORDER_PLACED, False, 14, 14, FencingToken(2, 14, 0), 0, (), (), None)
LEVEL = StockLevel("vase", received=10, available=7, held=2, sold=1, removed=0, applied_index=9)
CHANGES = [
    "receive vase=1 --id my-1",
    "adjust vase --quantity 1 --reason lost --id my-1",
    "order vase=1 --id my-1",
    "reserve vase=1 --id my-1",
    "confirm my-1 2.14.0",
    "release my-1",
    "extend my-1 2.14.0 9000",
    "return x vase=1 --id my-1",
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Stands in for InventoryClient; every change is accepted."""
    made = MagicMock(spec=InventoryClient)
    made.__enter__.return_value = made
    made.__exit__.return_value = None
    for method in (made.receive_stock, made.adjust_stock, made.place_order, made.reserve, made.confirm, made.release):
        method.return_value = PLACED
    made.extend_hold.return_value = made.return_units.return_value = PLACED
    made.list_stock.return_value = [LEVEL]
    monkeypatch.setattr(inventory_commands, "connect", lambda config, timeout: made)
    return made


@contextmanager
def full_disk() -> Iterator[TextIO]:
    """A file on a full disk."""
    with Path("/dev/full").open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def gone_reader() -> Iterator[TextIO]:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        yield file


@pytest.mark.parametrize("output", [full_disk, gone_reader])
@pytest.mark.parametrize("words", [*CHANGES, "order vase=1 --id my-1 --json"])
def test_a_change_whose_answer_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: MagicMock, words: str, output: Output
) -> None:
    with output() as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert run(words.split()) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the answer could not be written: " in said
    assert "repeat it under the same id, my-1" in said


@pytest.mark.parametrize("words", [["stock"], ["stock", "--json"], ["--help"]])
def test_a_query_that_nobody_reads_ends_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: MagicMock, words: list[str]
) -> None:
    with gone_reader() as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert run(words) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["stock"], ["--help"], ["up", "--help"], []])
def test_a_query_whose_answer_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: MagicMock, words: list[str]
) -> None:
    with full_disk() as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert run(words) == 3
    assert capsys.readouterr().err == "lastunit: the answer could not be written: No space left on device\n"


def test_nobody_hears_a_complaint(monkeypatch: pytest.MonkeyPatch, client: MagicMock) -> None:
    with full_disk() as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", file)
        assert run(["order", "vase=1"]) == 3


def test_standard_output_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: MagicMock
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(["order", "vase=1", "--id", "my-1"]) == 3
    assert "my-1" in capsys.readouterr().err


def test_a_bug(capsys: pytest.CaptureFixture[str], client: MagicMock) -> None:
    client.list_stock.side_effect = KeyError("vase")
    assert run(["stock"]) == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "KeyError: 'vase'" in said
    assert "this is a bug in lastunit" in said
    client.place_order.side_effect = KeyError("vase")
    assert run(["order", "vase=1", "--id", "my-1", "--json"]) == 70
    told = json.loads(capsys.readouterr().out)
    assert (told["error"], told["definite"], told["id"]) == ("BUG", False, "my-1")


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of the signals that a command handles are put back in the end."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_a_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: MagicMock, number: signal.Signals
) -> None:
    """The id was never printed: without it nobody could ask whether the order was placed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    client.place_order.side_effect = lambda *_, **__: os.kill(os.getpid(), number)
    monkeypatch.setattr(sys, "argv", ["lastunit", "order", "vase=1", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    drawn = client.place_order.call_args.kwargs["reservation_id"]
    printed = capsys.readouterr()
    assert ended.value.code == 130
    assert json.loads(printed.out) == {
        "error": "STOPPED",
        "message": f"stopped; it may have been applied: repeat it under the same id, {drawn}",
        "definite": False,
        "id": drawn,
    }
    assert f"repeat it under the same id, {drawn}" in printed.err


def test_ctrl_c_before_there_are_commands(tmp_path: Path) -> None:
    """All of them import typer."""
    (tmp_path / "typer.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from lastunit_node.cli.main import main; main()"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.usefixtures("handlers")
def test_nohup_holds(monkeypatch: pytest.MonkeyPatch, client: MagicMock) -> None:
    def close_terminal(**_: object) -> list[StockLevel]:
        signal.raise_signal(signal.SIGHUP)
        return [LEVEL]

    client.list_stock.side_effect = close_terminal
    monkeypatch.setattr(sys, "argv", ["lastunit", "stock"])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_a_signal_during_a_query(capsys: pytest.CaptureFixture[str], client: MagicMock) -> None:
    client.list_stock.side_effect = KeyboardInterrupt
    assert run(["stock"]) == 130
    assert capsys.readouterr().err == "lastunit: stopped\n"


@pytest.mark.parametrize(
    ("words", "reason", "status"),
    [
        ("order vase --json", "USAGE", 2),
        ("order vase=1 --config /nowhere --json", "CLUSTER_FILE", 2),
        ("kill n1 --json", "LOCAL_CLUSTER", 1),
    ],
)
def test_errors_for_programs(
    lastunit: Command, capsys: pytest.CaptureFixture[str], words: str, reason: str, status: int
) -> None:
    assert (run if "--config" in words else lambda all_words: lastunit(*all_words))(words.split()) == status
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told == {"error": reason, "message": told["message"], "definite": True}
    assert printed.err == f"lastunit: {told['message']}\n"


def test_help_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    printed = capsys.readouterr()
    assert "Usage: lastunit" in printed.out
    assert printed.err == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"lastunit {__version__}\n"


def test_wrong_usage_names_the_help_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["order", "vase"]) == 2
    assert capsys.readouterr().err.endswith("see `lastunit order --help`\n")
