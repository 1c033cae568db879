"""The four acts in a row, against doubles."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from io import StringIO
from typing import Self

import pytest
from rich.console import Console

from lastunit_client import CommandResult, Lines, Outcome, StateHash
from lastunit_node.cli.errors import ExitStatus, LocalClusterError
from lastunit_node.cli.sale import run
from lastunit_node.cli.sale.plan import Choices, Options, SalePlan
from lastunit_node.cli.sale.records import NodeRecords
from lastunit_node.cli.sale.show import Show

from .doubles import FakeInventory, FakeNodes

OPTIONS = Options(units=10, orders=15, nodes=3, kills=1, seed=4)


class FakeClient(FakeInventory):
    """An inventory that is also its own client."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        pass

    async def receive_stock(self, lines: Lines, *, receipt_id: str) -> CommandResult:
        self.received.update(lines)  # type: ignore[arg-type]
        return self._result(receipt_id, Outcome.RECEIVED, 1)


class FakeCluster(FakeNodes):
    """Nodes that all sell from one inventory."""

    def __init__(self) -> None:
        super().__init__("n1", "n2", "n3")
        self.inventory = FakeClient()
        self.clock = self.inventory.tell_clock

    @property
    def terms(self) -> tuple[int, ...]:
        return (1, 2)

    def endpoint(self, node: str) -> str:
        return node

    def client(self, home: str) -> FakeClient:
        return self.inventory

    async def records(self, endpoints: dict[str, str]) -> tuple[NodeRecords, ...]:
        inventory = self.inventory
        await inventory.tell_clock()
        stock = {sku: await inventory.get_stock(sku) for sku in inventory.received}
        held = [one if inventory.is_alive(one) else replace(one, units=()) for one in inventory.reservations.values()]
        return tuple(NodeRecords(name, tuple(held), stock, StateHash(9, b"c", b"d")) for name in endpoints)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, at_once: Choices) -> FakeCluster:
    cluster = FakeCluster()

    @asynccontextmanager
    async def throwaway_cluster(nodes: int) -> AsyncIterator[FakeCluster]:
        yield cluster

    monkeypatch.setattr(run, "throwaway_cluster", throwaway_cluster)
    monkeypatch.setattr(run, "audit", cluster.records)
    monkeypatch.setattr(SalePlan, "choices", lambda self, role: at_once)
    return cluster


@pytest.fixture
def printed() -> StringIO:
    return StringIO()


@pytest.fixture
def show(printed: StringIO) -> Show:
    return Show(Console(file=printed, width=100))


async def test_the_four_acts_end_well(cluster: FakeCluster, show: Show, printed: StringIO) -> None:
    result = await run.hold_sale(OPTIONS, show)

    assert result.report["reasons"] == []
    assert result.status is ExitStatus.ACCEPTED
    assert result.report["cluster"]["placed"] == 10
    assert [f"Act {number}:" in printed.getvalue() for number in (1, 2, 3, 4)] == [True] * 4


async def test_act_three_is_told_when_nobody_is_killed(cluster: FakeCluster, show: Show, printed: StringIO) -> None:
    await run.hold_sale(replace(OPTIONS, kills=0), show)

    assert "--kills 0" in printed.getvalue()


async def test_a_broken_promise_is_not_success(cluster: FakeCluster, show: Show) -> None:
    cluster.inventory.confirms_answer = Outcome.STALE_TOKEN

    result = await run.hold_sale(OPTIONS, show)

    assert result.status is ExitStatus.REFUSED
    assert result.report["cluster"]["failed"] == 1


async def test_a_cluster_that_does_not_start(
    cluster: FakeCluster, show: Show, printed: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def refused(nodes: int) -> AsyncIterator[FakeCluster]:
        raise LocalClusterError("n1 ended before it served")
        yield cluster

    monkeypatch.setattr(run, "throwaway_cluster", refused)

    result = await run.hold_sale(OPTIONS, show)

    assert result.status is ExitStatus.FAILED
    assert result.report["reasons"] == ["n1 ended before it served"]
    assert "n1 ended before it served" in printed.getvalue()


async def test_a_killer_that_fails_ends_the_sale(
    cluster: FakeCluster, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: FakeNodes, node: str) -> int:
        raise LocalClusterError(f"{node} is not running")

    monkeypatch.setattr(FakeNodes, "kill", refuse)

    assert (await run.hold_sale(OPTIONS, show)).status is ExitStatus.FAILED


async def test_a_sale_without_an_end_is_given_up(
    cluster: FakeCluster, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(cluster.inventory, "confirms_answer", None)

    async def held_for_ever(sku: str) -> object:
        return replace(await FakeInventory.get_stock(cluster.inventory, sku), held=1)

    monkeypatch.setattr(cluster.inventory, "get_stock", held_for_ever)

    result = await run.hold_sale(OPTIONS, show)

    assert result.report["reasons"] == ["the sale did not end within 0.05 s"]
