"""The audit: every node is asked itself, and all for the hash at one index that one of them has reached."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import pytest

from lastunit_client import Reservation, ReservationState, StateHash, StockLevel
from lastunit_node.cli.sale import audit as module
from lastunit_node.cli.sale.audit import audit
from lastunit_node.cli.sale.plan import SKU

from .doubles import order_on_record

APPLIED = {"127.0.0.1:1": 40, "127.0.0.1:2": 47, "127.0.0.1:3": 12}


@dataclass
class FakeStatus:
    applied_index: int
    state_hash: StateHash


class FakeClient:
    """A client of exactly one node."""

    def __init__(self, endpoints: list[str], timeout: float = 10.0) -> None:
        (self._endpoint,) = endpoints

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        pass

    async def status(self, endpoint: str, *, hash_at_index: int = 0, timeout: float = 2.0) -> FakeStatus:  # noqa: ASYNC109
        assert endpoint == self._endpoint
        return FakeStatus(APPLIED[endpoint], StateHash(hash_at_index, b"chain", endpoint.encode()))

    async def list_reservations(self, *, min_index: int) -> AsyncIterator[Reservation]:
        assert min_index == 47
        yield order_on_record("a-1", 10, ReservationState.CONFIRMED, 1)

    async def list_stock(self, *, min_index: int) -> AsyncIterator[StockLevel]:
        assert min_index == 47
        yield StockLevel(SKU, 2, 1, 0, 1, 0, min_index)


async def test_every_node_is_read_at_the_furthest_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AsyncInventoryClient", FakeClient)

    records = await audit(dict(zip(("n1", "n2", "n3"), APPLIED, strict=True)))

    assert [node.node for node in records] == ["n1", "n2", "n3"]
    assert [node.state_hash for node in records] == [StateHash(47, b"chain", end.encode()) for end in APPLIED]
    assert [order.reservation_id for order in records[2].sold(SKU)] == ["a-1"]
    assert records[2].stock[SKU].sold == 1
