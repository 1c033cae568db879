"""The hold on refusals, which goes on while calls come."""

import asyncio

import pytest

from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.gate import MAX_LOOKS, QUIET_LOOKS, Gate


async def calls_for(gate: Gate, turns: int) -> int:
    """Make a refused call at every turn of the loop while refusals are taken in, for so many; how many that were."""
    holding = asyncio.create_task(gate.hold_refusals(0))
    for turn in range(turns):
        if holding.done():
            return turn
        with pytest.raises(CallError):
            gate.enter()
        await asyncio.sleep(0)
    quiet = 0
    while not holding.done():
        quiet += 1
        await asyncio.sleep(0)
    assert quiet >= QUIET_LOOKS
    return turns


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    gate.close()
    return gate


@pytest.mark.parametrize("turns", [0, 1, 2 * QUIET_LOOKS])
async def test_refusals_are_taken_in_until_none_comes_any_more(gate: Gate, turns: int) -> None:
    assert await calls_for(gate, turns) == turns


async def test_and_not_for_ever(gate: Gate) -> None:
    assert MAX_LOOKS <= await calls_for(gate, 10 * MAX_LOOKS) < 2 * MAX_LOOKS


async def test_nobody_is_let_go_before(gate: Gate) -> None:
    refused = asyncio.create_task(gate.may_refuse())
    await asyncio.wait_for(refused, 10)
    await gate.hold_refusals(0)
    refused = asyncio.create_task(gate.may_refuse())
    await asyncio.sleep(0)
    assert not refused.done()
    gate.let_go()
    await asyncio.wait_for(refused, 10)
