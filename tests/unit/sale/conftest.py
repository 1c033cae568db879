"""Fixtures of the sale's tests."""

import pytest

from lastunit_client import FencingToken, Outcome, ReservationState, StateHash, StockLevel
from lastunit_node.cli.sale.plan import LAST_VASE, SKU, Choices, Options, SalePlan, plan_sale
from lastunit_node.cli.sale.records import BuyerReport, Ending, Evidence, LeaderKill, NodeRecords, ZombieReport

from .doubles import FakeInventory, NoDelay, order_on_record


@pytest.fixture
def inventory() -> FakeInventory:
    return FakeInventory()


@pytest.fixture
def at_once() -> Choices:
    return Choices(NoDelay(0))


@pytest.fixture
def plan() -> SalePlan:
    """Two vases, five buyers of whom one cannot pay, three nodes, one kill."""
    return plan_sale(Options(units=2, orders=5, nodes=3, kills=1, seed=1))


@pytest.fixture
def evidence(plan: SalePlan) -> Evidence:
    """A sale of `plan` in which everything went well."""
    reservations = (
        order_on_record("a-1", 10, ReservationState.CONFIRMED, 1),
        order_on_record("b-2", 14, ReservationState.CONFIRMED, 2),
        order_on_record("c-1", 12, ReservationState.RELEASED, 2),
        order_on_record("heir", 30, ReservationState.CONFIRMED, 1, LAST_VASE),
        order_on_record("zombie", 20, ReservationState.EXPIRED, 1, LAST_VASE),
    )
    stock = {SKU: StockLevel(SKU, 2, 0, 0, 2, 0, 40), LAST_VASE: StockLevel(LAST_VASE, 1, 0, 0, 1, 0, 40)}
    state_hash = StateHash(40, b"chain", b"digest")
    buyers = (
        BuyerReport("a", "n1", Ending.PLACED, "a-1", 1, FencingToken(2, 10, 0)),
        BuyerReport("b", "n2", Ending.PLACED, "b-2", 2, FencingToken(2, 14, 0), refusals=1),
        BuyerReport("c", "n3", Ending.PAYMENT_FAILED, "c-1", 2, FencingToken(2, 12, 0)),
        BuyerReport("d", "n1", Ending.REFUSED, refusals=2),
        BuyerReport("e", "n2", Ending.REFUSED, refusals=1),
    )
    zombie = ZombieReport(
        "zombie", 1, FencingToken(2, 20, 0), 4, 4, "heir", FencingToken(2, 30, 0), Outcome.EXPIRED, True
    )
    return Evidence(
        buyers=buyers,
        nodes=tuple(NodeRecords(name, reservations, stock, state_hash) for name in ("n1", "n2", "n3")),
        kills=(LeaderKill("n1", 4711, 1, 1, "n2", 2, 0.4),),
        terms=(1, 2),
        zombie=zombie,
    )
