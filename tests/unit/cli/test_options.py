"""What people type: lines, unit numbers, tokens."""

import pytest
import typer

from lastunit_client import FencingToken, Line, ReservationState, UnitLine, UnitRange
from lastunit_node.cli.options import StateChoice, parse_line, parse_ranges, parse_token, parse_unit_line


def test_lines() -> None:
    assert parse_line("vase=2") == Line("vase", 2)
    assert parse_line("a.b:c-d_e=1000000") == Line("a.b:c-d_e", 1_000_000)


@pytest.mark.parametrize("text", ["", "vase", "vase=", "=2", "vase=x", "vase=-1", "vase=1.5", "vase=2=3", "vase=²"])
def test_not_lines(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not SKU=QUANTITY, e.g. vase=2"):
        parse_line(text)


def test_units() -> None:
    assert parse_ranges("7") == [UnitRange(7, 7)]
    assert parse_unit_line("vase=1-3,7") == UnitLine("vase", (UnitRange(1, 3), UnitRange(7, 7)))


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1,,2", "1-2-3", "1 2"])
def test_not_units(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not a list of unit numbers, e.g. 1-3,7"):
        parse_ranges(text)


@pytest.mark.parametrize("text", ["vase", "=1"])
def test_not_unit_lines(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not SKU=UNITS"):
        parse_unit_line(text)


def test_tokens_are_read_as_they_are_printed() -> None:
    token = FencingToken(2, 14, 0)
    assert parse_token(str(token)) == token
    with pytest.raises(typer.BadParameter, match=r"is not a token TERM.INDEX.POSITION"):
        parse_token("2.14")


def test_every_state_of_a_reservation_can_be_typed() -> None:
    assert [choice.name for choice in StateChoice] == [state.name for state in ReservationState]
