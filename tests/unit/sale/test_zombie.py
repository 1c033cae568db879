"""The zombie: refused by the state machine and by the warehouse, after its vase was sold on."""

import pytest

from lastunit_client import Outcome
from lastunit_node.cli.sale import zombie
from lastunit_node.cli.sale.faults import SaleFault, SenselessAnswer
from lastunit_node.cli.sale.plan import LAST_VASE
from lastunit_node.cli.sale.zombie import HOLD_TICKS, zombie_act

from .doubles import FakeInventory


async def test_is_refused_twice(inventory: FakeInventory) -> None:
    inventory.received[LAST_VASE] = 1

    report = await zombie_act(inventory, inventory, inventory.tell_clock)

    assert report.outcome is Outcome.EXPIRED
    assert report.warehouse_refused
    assert report.clock == report.expires_at_tick == HOLD_TICKS + 1
    assert (report.sold_to, report.unit) == ("heir", 1)
    assert report.sold_token > report.token


async def test_the_vase_is_sold_on_before_the_zombie_wakes_up(inventory: FakeInventory) -> None:
    inventory.received[LAST_VASE] = 1

    await zombie_act(inventory, inventory, inventory.tell_clock)

    assert inventory.calls == [
        ("reserve", "zombie"),
        ("reserve", "heir"),
        ("confirm", "heir"),
        ("confirm", "zombie"),
    ]


async def test_without_a_vase_there_is_no_act(inventory: FakeInventory) -> None:
    inventory.received[LAST_VASE] = 0

    with pytest.raises(SenselessAnswer, match="reserve of zombie was answered OUT_OF_STOCK"):
        await zombie_act(inventory, inventory, inventory.tell_clock)


async def test_a_clock_that_stands_still_ends_the_act(
    inventory: FakeInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory.received[LAST_VASE] = 1
    monkeypatch.setattr(zombie, "LIMIT_SECONDS", 0.05)

    async def stopped_clock() -> int:
        return 1

    with pytest.raises(SaleFault, match="the clock did not reach tick 4"):
        await zombie_act(inventory, inventory, stopped_clock)
