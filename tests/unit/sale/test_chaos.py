"""The misfortunes: they come at points of the sale, one node at a time, and never after the sale is over."""

import asyncio
from collections.abc import Callable, Coroutine
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from lastunit_node.cli.sale import chaos
from lastunit_node.cli.sale.buyer import Buyer
from lastunit_node.cli.sale.chaos import Chaos
from lastunit_node.cli.sale.plan import SKU, Choices, Options, SalePlan, plan_sale
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import LeaderKill
from lastunit_node.cli.sale.show import Show

from .doubles import FakeInventory, FakeNodes

Play = Callable[[SalePlan], Coroutine[None, None, tuple[tuple[LeaderKill, ...], list[str]]]]


@pytest.fixture
def told() -> StringIO:
    return StringIO()


@pytest.fixture
def play(inventory: FakeInventory, at_once: Choices, monkeypatch: pytest.MonkeyPatch, told: StringIO) -> Play:
    """Plays a whole sale against doubles; gives the kills and what was done to the nodes."""
    monkeypatch.setattr(SalePlan, "choices", lambda self, role: at_once)

    async def play_sale(plan: SalePlan) -> tuple[tuple[LeaderKill, ...], list[str]]:
        progress = Progress()
        nodes = FakeNodes(*(f"n{number}" for number in range(1, plan.options.nodes + 1)))
        inventory.received[SKU] = plan.options.units
        killer = Chaos(plan, nodes, progress, Show(Console(file=told, width=100)))
        mischief = asyncio.create_task(killer.run())
        await asyncio.gather(*(Buyer(buyer, "n1", inventory, at_once, progress).buy() for buyer in plan.buyers))
        await progress.close()
        return await mischief, nodes.log

    return play_sale


@pytest.mark.parametrize(
    ("units", "orders", "kills"), [(10, 15, 1), (40, 200, 3), (1, 15, 3), (20, 5, 2), (1, 1, 1), (3, 15, 5)]
)
async def test_every_kill_happens_before_the_last_vase_is_sold(play: Play, units: int, orders: int, kills: int) -> None:
    plan = plan_sale(Options(units, orders, nodes=3, kills=kills, seed=2))

    done, _ = await play(plan)

    assert len(done) == kills
    assert all(after <= kill.sold < plan.expected_sold for after, kill in zip(plan.kill_after, done, strict=True))


async def test_one_node_is_away_at_a_time(play: Play) -> None:
    kills, log = await play(plan_sale(Options(units=40, orders=200, nodes=5, kills=3, seed=2)))

    pause, resume, *rest = log
    assert pause.split()[1] == resume.split()[1] != "n1"
    assert rest == ["kill n1", "start n1", "kill n2", "start n2", "kill n3", "start n3"]
    assert [(kill.term, kill.next_term) for kill in kills] == [(1, 2), (2, 3), (3, 4)]


async def test_without_kills_only_a_follower_stands_still(play: Play) -> None:
    kills, log = await play(plan_sale(Options(units=10, orders=15, nodes=3, kills=0, seed=2)))

    assert kills == ()
    assert [line.split()[0] for line in log] == ["pause", "resume"]


async def test_a_sale_whose_killer_fails_still_ends(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: FakeNodes, node: str) -> int:
        raise OSError("cannot be killed")

    monkeypatch.setattr(FakeNodes, "kill", refuse)

    with pytest.raises(OSError, match="cannot be killed"):
        await play(plan_sale(Options(units=10, orders=15, nodes=3, kills=1, seed=2)))


async def test_kills_still_happen_when_the_buyers_gave_up(play: Play, inventory: FakeInventory) -> None:
    inventory.deaf_to = "reserve"

    kills, _ = await play(plan_sale(Options(units=10, orders=15, nodes=3, kills=2, seed=2)))

    assert len(kills) == 2


@pytest.mark.parametrize(("orders", "expected"), [(1, ""), (15, "; 5 buyers got no answer")])
async def test_a_pause_is_told_with_the_buyers_of_that_node(
    play: Play, told: StringIO, orders: int, expected: str
) -> None:
    await play(plan_sale(Options(units=10, orders=orders, nodes=3, kills=0, seed=2)))

    assert f"(SIGSTOP){expected}" in told.getvalue()
    assert ("no answer" in told.getvalue()) is bool(expected)


@pytest.mark.parametrize(("units", "moment"), [(1, "before a vase is sold"), (10, "in the middle of the sale")])
async def test_act_three_is_told_as_it_comes(play: Play, told: StringIO, units: int, moment: str) -> None:
    kills, _ = await play(plan_sale(Options(units=units, orders=15, nodes=3, kills=1, seed=2)))

    assert f"the leader is killed, {moment}" in told.getvalue()
    assert (kills[0].sold > 0) is (units > 1)


async def test_orders_stand_still_from_the_kill_on_and_not_only_when_the_process_is_gone(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill, now = FakeNodes.kill, 0.0

    async def die_slowly(self: FakeNodes, node: str) -> int:
        nonlocal now
        now += 5.0
        return await kill(self, node)

    monkeypatch.setattr(FakeNodes, "kill", die_slowly)
    monkeypatch.setattr(chaos, "time", SimpleNamespace(monotonic=lambda: now))

    kills, _ = await play(plan_sale(Options(units=10, orders=15, nodes=3, kills=1, seed=2)))

    assert kills[0].seconds == 5.0
