"""Every command of the API: what is asked of the client, what is printed, and the exit status."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from lastunit_client import (
    CommandResult,
    DeadlineError,
    FencingToken,
    InvalidRequestError,
    InventoryClient,
    LastUnitError,
    Line,
    NotFoundError,
    Outcome,
    Reservation,
    ReservationState,
    StockLevel,
    UnavailableError,
    UnitLine,
    UnitRange,
)
from lastunit_node.cli import inventory_commands, output

Command = Callable[..., int]
TOKEN = FencingToken(2, 14, 0)
LEVEL = StockLevel("vase", received=10, available=7, held=2, sold=1, removed=0, applied_index=9)
RESERVATION = Reservation(
    "my-1", ReservationState.HELD, TOKEN, 3, 6_004, (Line("vase", 2),), (UnitLine("vase", (UnitRange(1, 2),)),), 9
)


def result(outcome: Outcome) -> CommandResult:
    return CommandResult("my-1", outcome, False, 14, 14, TOKEN, 0, (), (), RESERVATION)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Stands in for InventoryClient, signatures checked."""
    made = MagicMock(spec=InventoryClient)
    made.__enter__.return_value = made
    monkeypatch.setattr(inventory_commands, "connect", lambda config, timeout: made)
    return made


@pytest.mark.parametrize(
    ("words", "method", "positional", "keywords"),
    [
        ("receive vase=10 mug=5 --id r1", "receive_stock", ([Line("vase", 10), Line("mug", 5)],), {"receipt_id": "r1"}),
        (
            "adjust vase --quantity 1 --reason broken",
            "adjust_stock",
            ("vase",),
            {"reason": "broken", "quantity": 1, "ranges": None, "adjustment_id": "drawn"},
        ),
        (
            "adjust vase --units 1-3,7 --reason lost --id a1",
            "adjust_stock",
            ("vase",),
            {
                "reason": "lost",
                "quantity": None,
                "ranges": [UnitRange(1, 3), UnitRange(7, 7)],
                "adjustment_id": "a1",
            },
        ),
        ("order vase=1 --id my-1", "place_order", ([Line("vase", 1)],), {"reservation_id": "my-1"}),
        ("reserve vase=1", "reserve", ([Line("vase", 1)],), {"reservation_id": "drawn", "hold_ticks": 0}),
        (
            "reserve vase=1 --hold-ticks 9",
            "reserve",
            ([Line("vase", 1)],),
            {"reservation_id": "drawn", "hold_ticks": 9},
        ),
        ("confirm my-1 2.14.0", "confirm", ("my-1", TOKEN, None), {}),
        ("confirm my-1 2.14.0 vase=1", "confirm", ("my-1", TOKEN, [Line("vase", 1)]), {}),
        ("release my-1 2.14.0", "release", ("my-1", TOKEN), {}),
        ("release my-1", "release", ("my-1", None), {}),
        ("extend my-1 2.14.0 9000", "extend_hold", ("my-1", TOKEN, 9_000), {}),
        (
            "return my-1 vase=2 --id b1",
            "return_units",
            ("my-1", [UnitLine("vase", (UnitRange(2, 2),))]),
            {"return_id": "b1"},
        ),
    ],
)
def test_what_a_command_asks(
    lastunit: Command, client: MagicMock, words: str, method: str, positional: Any, keywords: Any
) -> None:
    getattr(client, method).return_value = result(Outcome.CONFIRMED)
    assert lastunit(*words.split()) == 0
    asked = getattr(client, method).call_args
    drawn = {key: "drawn" if re.fullmatch("[0-9a-f]{32}", str(value)) else value for key, value in asked.kwargs.items()}
    assert (asked.args, drawn) == (positional, keywords)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_refusal_is_an_answer_with_exit_status_1(
    lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str], outcome: Outcome
) -> None:
    client.place_order.return_value = result(outcome)
    assert lastunit("order", "vase=1", "--json") == (0 if outcome.accepted else 1)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["outcome"] == outcome.name
    assert printed.err == ""


def test_stock(lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str]) -> None:
    client.list_stock.return_value = iter([LEVEL])
    assert lastunit("stock", "--stale", "--json") == 0
    assert json.loads(capsys.readouterr().out)["stock"][0]["available"] == 7
    client.list_stock.assert_called_once_with(page_size=1_000, stale=True, min_index=0)
    client.get_stock.return_value = LEVEL
    assert lastunit("stock", "vase", "--min-index", "7") == 0
    client.get_stock.assert_called_once_with("vase", stale=False, min_index=7)
    assert "vase" in capsys.readouterr().out


def test_reservations(lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str]) -> None:
    client.list_reservations.return_value = iter([RESERVATION])
    assert lastunit("reservations", "--state", "held") == 0
    client.list_reservations.assert_called_once_with(
        state=ReservationState.HELD, page_size=1_000, stale=False, min_index=0
    )
    printed = capsys.readouterr().out
    for words in ("my-1", "HELD", "2.14.0", "vase=2", "vase 1-2", "6004"):
        assert words in printed
    client.list_reservations.return_value = iter([])
    assert lastunit("reservations", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"reservations": []}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_list_is_printed_as_it_comes(
    lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """Not when all of it is there: a busy shop has millions."""
    printed_before: list[str] = []

    def reservations() -> Iterator[Reservation]:
        for number in range(2_500):
            if number % 1_000 == 1:  # those before are asked for
                printed_before.append(capsys.readouterr().out)
            yield replace(RESERVATION, reservation_id=f"id-{number:04}")

    client.list_reservations.return_value = reservations()
    assert lastunit("reservations", *options) == 0
    printed = [*printed_before, capsys.readouterr().out]
    found = [re.findall(r"id-\d{4}", each) for each in printed]
    ids = [f"id-{number:04}" for number in range(2_500)]
    assert found == [[], ids[:1_000], ids[1_000:2_000], ids[2_000:]]
    if options:
        listed = json.loads("".join(printed))["reservations"]
        assert [each["reservation_id"] for each in listed] == ids
        assert listed[7] == output.as_json(replace(RESERVATION, reservation_id="id-0007"))


def test_a_list_that_breaks_off_ends_as_a_failure(
    lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str]
) -> None:
    def levels() -> Iterator[StockLevel]:
        yield from [LEVEL] * 1_000
        raise UnavailableError("no quorum", definite=True)

    client.list_stock.return_value = levels()
    assert lastunit("stock") == 4
    printed = capsys.readouterr()
    assert printed.out.count("vase") == 1_000
    assert "no quorum" in printed.err


def test_reservation(lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str]) -> None:
    client.get_reservation.return_value = RESERVATION
    assert lastunit("reservation", "my-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["token"] == "2.14.0"
    assert lastunit("reservation", "my-1") == 0
    assert "6004" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status", "hint"),
    [
        (NotFoundError("reservation my-1 is unknown"), 1, "reservation my-1 is unknown"),
        (InvalidRequestError("lines[0].sku", "must not be empty"), 2, "lines[0].sku: must not be empty"),
        (DeadlineError("no answer", definite=False, request_id="my-1"), 3, "no answer; its id is my-1"),
        (UnavailableError("no quorum", definite=True, request_id="my-1"), 4, "no quorum; see `lastunit status`"),
        (UnavailableError("no quorum", definite=False), 3, "it may happen all the same: see `lastunit status`"),
    ],
)
def test_no_answer(
    lastunit: Command,
    client: MagicMock,
    capsys: pytest.CaptureFixture[str],
    error: LastUnitError,
    status: int,
    hint: str,
) -> None:
    client.place_order.side_effect = error
    assert lastunit("order", "vase=1") == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert hint in printed.err
    assert lastunit("order", "vase=1", "--json") == status
    told = json.loads(capsys.readouterr().out)
    assert hint in told["message"]
    assert told["definite"] == (status != 3)
    assert told.get("id") == error.request_id


@pytest.mark.parametrize(
    "words",
    [
        "order",
        "order vase",
        "order vase=1 --hold-ticks 3",
        "confirm my-1",
        "confirm my-1 token",
        "extend my-1 2.14.0",
        "extend my-1 2.14.0 soon",
        "adjust vase --quantity 1",
        "adjust vase --units x --reason lost",
        "return my-1",
        "return my-1 vase",
        "reservations --state sold",
        "reserve vase=1 --hold-ticks -1",
        "order vase=1 --timeout 0",
        "sell vase=1",
    ],
)
def test_wrong_usage(lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert lastunit(*words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert not client.method_calls


def test_nobody_there(cluster_file: Path, lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """The real client, and no node."""
    assert lastunit("order", "vase=1", "--timeout", "0.3") == 4
    assert capsys.readouterr().err.count("nothing was") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("receive vase=99999999999999999999", "the quantity must be 1 to 1,000,000"),
        ("receive vase=0", "the quantity must be 1 to 1,000,000"),
        ("adjust vase --reason x", "--quantity and --units: give one of the two"),
        ("adjust vase --reason x --quantity 1 --units 1", "--quantity and --units: give one of the two"),
        ("adjust vase --reason x --units 1-", "--units: '1-' is not a list of unit numbers"),
        (f"adjust vase --reason x --units {'9' * 19}", "is not a list of unit numbers"),
        ("extend my-1 2.14.0 soon", "'UNTIL_TICK': it must be a valid integer;"),
        (f"extend my-1 2.14.0 {'9' * 19}", f"it must be less than or equal to {2**63 - 1};"),
        ("stock --timeout x", "'--timeout': it must be a valid number;"),
        ("stock --timeout inf", "'--timeout': it must be less than or equal to 43200"),
        ("reservations --state sold", "'--state': 'sold' is not one of 'held'"),
    ],
)
def test_what_is_said_of_wrong_usage(
    lastunit: Command, client: MagicMock, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert lastunit(*words.split()) == 2
    assert said in capsys.readouterr().err
    assert not client.method_calls
