"""Every limit of every command, by the field that breaks it; apply answers MALFORMED, for that position only."""

import pytest

from lastunit_node.statemachine import limits
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Command,
    Configure,
    Confirm,
    ExtendHold,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
    UnitLine,
    UnitRange,
)
from lastunit_node.statemachine.results import Outcome
from lastunit_node.statemachine.validation import InvalidField, check_command

from .shop import ELSEWHERE, Shop

LINE = (Line("vase", 1),)
RANGE = (UnitRange(1, 1),)
TOKEN = ELSEWHERE

BROKEN: list[tuple[str, Command]] = [
    ("reservation_id", PlaceOrder("", LINE)),
    ("reservation_id", PlaceOrder("a" * 65, LINE)),
    ("reservation_id", PlaceOrder("o 1", LINE)),
    ("reservation_id", PlaceOrder("o1\n", LINE)),
    ("reservation_id", Reserve("vasé", LINE, 0)),
    ("lines", PlaceOrder("o1", ())),
    ("lines", PlaceOrder("o1", LINE * 101)),
    ("lines[1].sku", PlaceOrder("o1", (*LINE, Line("", 1)))),
    ("lines[1].quantity", PlaceOrder("o1", (*LINE, Line("vase", 0)))),
    ("lines[0].quantity", Reserve("r1", (Line("vase", -1),), 0)),
    ("lines[0].quantity", ReceiveStock("truck", (Line("vase", 1_000_001),))),
    ("lines[0].quantity", Confirm("r1", TOKEN, (Line("vase", 0),))),
    ("receipt_id", ReceiveStock("", LINE)),
    ("hold_ticks", Reserve("r1", LINE, -1)),
    ("hold_ticks", Reserve("r1", LINE, limits.MAX_TICK + 1)),
    ("reservation_id", Confirm("", TOKEN, ())),
    ("reservation_id", Release("", None)),
    ("reservation_id", ExtendHold("", TOKEN, 1)),
    ("token.term", Confirm("r1", FencingToken(-1, 1, 0), ())),
    ("token.term", Confirm("r1", FencingToken(limits.MAX_TICK + 1, 1, 0), ())),
    ("token.index", Confirm("r1", FencingToken(1, -1, 0), ())),
    ("token.index", Confirm("r1", FencingToken(1, limits.MAX_TICK + 1, 0), ())),
    ("token.position", Confirm("r1", FencingToken(1, 1, limits.MAX_TICK + 1), ())),
    ("token.index", Release("r1", FencingToken(1, limits.MAX_TICK + 1, 0))),
    ("token.position", ExtendHold("r1", FencingToken(1, 1, -1), 1)),
    ("token.position", ExtendHold("r1", FencingToken(1, 1, limits.MAX_TICK + 1), 1)),
    ("until_tick", ExtendHold("r1", TOKEN, -1)),
    ("until_tick", ExtendHold("r1", TOKEN, limits.MAX_TICK + 1)),
    ("adjustment_id", AdjustStock("", "vase", 1, (), "")),
    ("sku", AdjustStock("a1", "a vase", 1, (), "")),
    ("quantity", AdjustStock("a1", "vase", 0, (), "")),
    ("quantity", AdjustStock("a1", "vase", -1, (), "")),
    ("quantity", AdjustStock("a1", "vase", 1, RANGE, "")),
    ("quantity", AdjustStock("a1", "vase", 1_000_001, (), "")),
    ("ranges", AdjustStock("a1", "vase", 0, RANGE * 1_001, "")),
    ("ranges[1].first", AdjustStock("a1", "vase", 0, (*RANGE, UnitRange(0, 1)), "")),
    ("ranges[0].last", AdjustStock("a1", "vase", 0, (UnitRange(2, 1),), "")),
    ("ranges[0].last", AdjustStock("a1", "vase", 0, (UnitRange(1, limits.MAX_UNIT + 1),), "")),
    ("reason", AdjustStock("a1", "vase", 1, (), "é" * 129)),
    ("return_id", ReturnUnits("", "o1", (UnitLine("vase", RANGE),))),
    ("reservation_id", ReturnUnits("b1", "", (UnitLine("vase", RANGE),))),
    ("lines", ReturnUnits("b1", "o1", ())),
    ("lines", ReturnUnits("b1", "o1", (UnitLine("vase", RANGE),) * 101)),
    ("lines", ReturnUnits("b1", "o1", (UnitLine("vase", RANGE * 600), UnitLine("bowl", RANGE * 600)))),
    ("lines[0].ranges", ReturnUnits("b1", "o1", (UnitLine("vase", ()),))),
    ("lines[0].sku", ReturnUnits("b1", "o1", (UnitLine("", RANGE),))),
    ("lines[0].ranges[0].last", ReturnUnits("b1", "o1", (UnitLine("vase", (UnitRange(3, 2),)),))),
    ("clock", Tick(-1)),
    ("clock", Tick(limits.MAX_TICK + 1)),
    ("tick_ms", Configure(0, 1, 1, 1, 1)),
    ("tick_ms", Configure(limits.MAX_TICK + 1, 1, 1, 1, 1)),
    ("hold_cap_ticks", Configure(1, 1, 0, 1, 1)),
    ("hold_cap_ticks", Configure(1, 1, limits.MAX_TICK + 1, 1, 1)),
    ("hold_ticks", Configure(1, 0, 1, 1, 1)),
    ("hold_ticks", Configure(1, 2, 1, 1, 1)),
    ("retention_ticks", Configure(1, 1, 1, 0, 1)),
    ("retention_ticks", Configure(1, 1, 1, limits.MAX_TICK + 1, 1)),
    ("sweep_size", Configure(1, 1, 1, 1, 0)),
    ("sweep_size", Configure(1, 1, 1, 1, limits.MAX_SWEEP_SIZE + 1)),
    ("node", Admit("", "a", 0)),
    ("instance", Admit("n1", "a" * 65, 0)),
    ("replaces", Admit("n1", "a", -1)),
    ("replaces", Admit("n1", "a", limits.MAX_TICK + 1)),
]


@pytest.mark.parametrize(("field", "command"), BROKEN, ids=[f"{type(c).__name__}-{f}" for f, c in BROKEN])
def test_a_command_that_breaks_a_limit_is_malformed_by_name(field: str, command: Command) -> None:
    with pytest.raises(InvalidField) as caught:
        check_command(command)

    assert caught.value.field == field
    assert Shop().do(command).outcome is Outcome.MALFORMED


def test_text_that_no_message_can_carry_is_refused_too() -> None:
    with pytest.raises(InvalidField, match="reason: must be valid Unicode"):
        check_command(AdjustStock("a1", "vase", 1, (), "\ud800"))


@pytest.mark.parametrize(
    "command",
    [
        PlaceOrder("A-Za-z0-9._:-" + "x" * 51, LINE * 100),
        Reserve("r1", (Line("vase", 1_000_000),), limits.MAX_TICK),
        Confirm("r1", FencingToken(0, 0, 0), ()),
        Confirm("r1", FencingToken(limits.MAX_TICK, limits.MAX_TICK, limits.MAX_TICK), LINE * 100),
        Release("r1", None),
        ExtendHold("r1", TOKEN, 0),
        AdjustStock("a1", "vase", 0, RANGE * 1_000, "é" * 128),
        AdjustStock("a1", "vase", 0, (UnitRange(limits.MAX_UNIT, limits.MAX_UNIT),), ""),
        AdjustStock("a1", "vase", 1_000_000, (), ""),
        ReturnUnits("b1", "o1", (UnitLine("vase", RANGE * 10),) * 100),
        Configure(1, 1, 1, 1, limits.MAX_SWEEP_SIZE),
        Admit("n" * 64, "a" * 64, 0),
    ],
)
def test_a_command_at_its_limits_is_well_formed(command: Command) -> None:
    check_command(command)
    assert Shop().do(command).outcome is not Outcome.MALFORMED


def test_a_malformed_command_spoils_only_its_own_position(shop: Shop) -> None:
    good, bad, other = shop.apply(PlaceOrder("o1", LINE), PlaceOrder("o2", ()), PlaceOrder("o3", LINE))

    assert [good.outcome, bad.outcome, other.outcome] == [
        Outcome.ORDER_PLACED,
        Outcome.MALFORMED,
        Outcome.ORDER_PLACED,
    ]
    assert other.token is not None
    assert other.token.position == 2
