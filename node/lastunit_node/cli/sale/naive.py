"""Act one: the kata's naive `placeOrder`, check then deduct, and what a flash sale does to it.

Nothing is faked: the store's two calls are each correct and each takes a random 50-200 ms, and between them the other
application servers sell the same vases. Needs no cluster.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from lastunit_node.cli.sale.plan import SKU, Choices, SalePlan

APPLICATION_SERVERS: Final = 3
ORDER_PLACED: Final = "ORDER_PLACED"
OUT_OF_STOCK: Final = "OUT_OF_STOCK"


class LaggingStore:
    """The kata's central database: both calls are atomic in themselves, and slow on the way there and back."""

    def __init__(self, stock: dict[str, int], choices: Choices) -> None:
        self._stock = stock
        self._choices = choices

    async def read(self, sku: str) -> int:
        """Units left when the call reached the store; older than that when the answer arrives."""
        lag = self._choices.lag()
        await asyncio.sleep(lag / 2)
        units = self._stock[sku]
        await asyncio.sleep(lag / 2)
        return units

    async def deduct(self, sku: str, quantity: int) -> None:
        """Take units off, unconditionally."""
        lag = self._choices.lag()
        await asyncio.sleep(lag / 2)
        self._stock[sku] -= quantity
        await asyncio.sleep(lag / 2)


class ApplicationServer:
    """One of several instances that take orders at the same time and share nothing but the store."""

    def __init__(self, store: LaggingStore) -> None:
        self._store = store

    async def place_order(self, sku: str, quantity: int) -> str:
        """The naive answer: check, then deduct. What happens in between is the kata."""
        if await self._store.read(sku) < quantity:
            return OUT_OF_STOCK
        await self._store.deduct(sku, quantity)
        return ORDER_PLACED

    async def serve(self, arrivals: list[float]) -> list[str]:
        """Place one order of one vase per arrival, all concurrently."""
        return list(await asyncio.gather(*(self._serve_one(arrival) for arrival in arrivals)))

    async def _serve_one(self, arrival: float) -> str:
        await asyncio.sleep(arrival)
        return await self.place_order(SKU, 1)


@dataclass(frozen=True, slots=True)
class NaiveNumbers:
    """How the naive sale ended; `left` is what the store says, below zero when it oversold."""

    units: int
    placed: int
    refused: int
    left: int

    @property
    def oversold(self) -> int:
        """Orders placed for vases that do not exist."""
        return max(0, self.placed - self.units)


async def naive_sale(plan: SalePlan) -> NaiveNumbers:
    """Sell to every buyer of the plan through naive servers."""
    stock = {SKU: plan.options.units}
    store = LaggingStore(stock, plan.choices("naive store"))
    choices = plan.choices("naive arrivals")
    arrivals = [choices.arrival() for _ in plan.buyers]
    servers = [ApplicationServer(store) for _ in range(APPLICATION_SERVERS)]
    answers = await asyncio.gather(
        *(server.serve(arrivals[number::APPLICATION_SERVERS]) for number, server in enumerate(servers))
    )
    placed = sum(answer.count(ORDER_PLACED) for answer in answers)
    return NaiveNumbers(plan.options.units, placed, len(arrivals) - placed, stock[SKU])
