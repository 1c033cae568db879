"""Act four: a buyer sleeps past its hold, its vase is sold on, and it wakes up and goes on as if nothing had happened.

Refused twice: by the state machine, because the hold is over, and by a warehouse that never asks the state machine
and only compares fencing tokens.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from lastunit_client import CommandResult, FencingGate, FencingToken, Outcome
from lastunit_node.cli.sale.buyer import Shop, only_unit
from lastunit_node.cli.sale.faults import SaleFault, SenselessAnswer
from lastunit_node.cli.sale.plan import LAST_VASE
from lastunit_node.cli.sale.records import ZombieReport

HOLD_TICKS: Final = 3
POLL_SECONDS: Final = 0.02
LIMIT_SECONDS: Final = 30.0  # for the clock to pass the end of the hold
ZOMBIE: Final = "zombie"
HEIR: Final = "heir"


async def zombie_act(zombie: Shop, heir: Shop, clock: Callable[[], Awaitable[int]]) -> ZombieReport:
    """Play it; one unit of LAST_VASE must be available. `clock` tells the logical clock of the cluster."""
    held = await zombie.reserve({LAST_VASE: 1}, reservation_id=ZOMBIE, hold_ticks=HOLD_TICKS)
    token = _token(held, Outcome.RESERVED)
    woken_at = await _sleep_past(held.expires_at_tick, clock)
    warehouse = FencingGate()
    sold = await _buy(heir, warehouse)
    late = await zombie.confirm(ZOMBIE, token)
    return ZombieReport(
        order=ZOMBIE,
        unit=only_unit(held),
        token=token,
        expires_at_tick=held.expires_at_tick,
        clock=woken_at,
        sold_to=HEIR,
        sold_token=_token(sold, Outcome.RESERVED),
        outcome=late.outcome,
        warehouse_refused=not warehouse.admit(_resource(held), token),
    )


async def _buy(shop: Shop, warehouse: FencingGate) -> CommandResult:
    """Buy the unit that the zombie lost, and have it shipped."""
    held = await shop.reserve({LAST_VASE: 1}, reservation_id=HEIR)
    token = _token(held, Outcome.RESERVED)
    confirmed = await shop.confirm(HEIR, token)
    if confirmed.outcome is not Outcome.CONFIRMED or not warehouse.admit(_resource(held), token):
        raise SenselessAnswer("confirm", confirmed)
    return held


async def _sleep_past(tick: int, clock: Callable[[], Awaitable[int]]) -> int:
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            while (now := await clock()) < tick:
                await asyncio.sleep(POLL_SECONDS)
            return now
    except TimeoutError:
        raise SaleFault(f"the clock did not reach tick {tick} within {LIMIT_SECONDS:g} s") from None


def _resource(held: CommandResult) -> str:
    return f"{LAST_VASE}#{only_unit(held)}"


def _token(result: CommandResult, expected: Outcome) -> FencingToken:
    if result.outcome is not expected or result.token is None:
        raise SenselessAnswer("reserve", result)
    return result.token
