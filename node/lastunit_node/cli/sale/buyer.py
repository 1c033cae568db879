"""A buyer of act two: reserve, pay, confirm; again and again, until it owns a vase or certainly cannot.

Its calls lag and its process pauses like those of the naive sale. It knows nothing of leaders and kills: the client
retries under the same id, and every answer is definite. A refusal is final for its id, so each try has a new one.
"""

import asyncio
from typing import Final, Protocol

from lastunit_client import CommandResult, FencingToken, LastUnitError, Lines, Outcome, StockLevel
from lastunit_node.cli.sale.faults import SenselessAnswer
from lastunit_node.cli.sale.plan import SKU, BuyerPlan, Choices
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import BuyerReport, Ending

ONE_VASE: Final = {SKU: 1}


class Shop(Protocol):
    """What a buyer needs of lastunit_client.AsyncInventoryClient."""

    async def reserve(self, lines: Lines, *, reservation_id: str, hold_ticks: int = 0) -> CommandResult:
        """Hold units."""
        ...

    async def confirm(self, reservation_id: str, token: FencingToken) -> CommandResult:
        """Sell what is held."""
        ...

    async def release(self, reservation_id: str, token: FencingToken) -> CommandResult:
        """Free what is held."""
        ...

    async def get_stock(self, sku: str) -> StockLevel:
        """A stock level."""
        ...


class Buyer:
    """One buyer at one node; may go to the others when that one is down."""

    def __init__(self, plan: BuyerPlan, home: str, shop: Shop, choices: Choices, progress: Progress) -> None:
        self._plan = plan
        self._home = home
        self._shop = shop
        self._choices = choices
        self._progress = progress
        self._refusals = 0
        self._expired = 0

    async def buy(self) -> BuyerReport:
        """All tries, from arrival to the end. Never raises an error of a call: it is part of the report."""
        await asyncio.sleep(self._choices.arrival())
        try:
            return await self._tries()
        except (LastUnitError, SenselessAnswer) as error:
            return self._report(Ending.FAILED, error=str(error))

    async def _tries(self) -> BuyerReport:
        number = 0
        while True:
            number += 1
            held = await self._reserve(f"{self._plan.name}-{number}")
            if held is not None:
                ending = await self._pay(*held)
                if ending is not None:
                    return self._report(ending, *held)
            elif await self._sold_out():
                return self._report(Ending.REFUSED)
            await asyncio.sleep(self._choices.come_back(number))

    async def _reserve(self, order: str) -> tuple[str, int, FencingToken] | None:
        """Order, unit and token of a hold; None: out of stock at this moment."""
        await asyncio.sleep(self._choices.lag())
        result = await self._shop.reserve(ONE_VASE, reservation_id=order)
        if result.outcome is Outcome.OUT_OF_STOCK:
            self._refusals += 1
            self._progress.refusals += 1
            return None
        if result.outcome is not Outcome.RESERVED or result.token is None:
            raise SenselessAnswer("reserve", result)
        self._progress.holds += 1
        await self._progress.changed()
        return order, only_unit(result), result.token

    async def _sold_out(self) -> bool:
        """Nothing available and nothing held: what is sold stays sold, so no try can succeed any more."""
        await asyncio.sleep(self._choices.lag())
        stock = await self._shop.get_stock(SKU)
        return stock.available == 0 and stock.held == 0

    async def _pay(self, order: str, unit: int, token: FencingToken) -> Ending | None:
        """Hand in the card and settle the hold; None when the hold was over by then, so that it tries again."""
        await asyncio.sleep(self._choices.pause())
        if not self._plan.card_is_good:
            return await self._release(order, token)
        async with self._progress.confirming():
            await asyncio.sleep(self._choices.lag())
            result = await self._shop.confirm(order, token)
            if result.outcome is Outcome.CONFIRMED and only_unit(result) == unit:
                self._progress.placed += 1
                return Ending.PLACED
        if result.outcome is not Outcome.EXPIRED:
            raise SenselessAnswer("confirm", result)
        self._expired += 1
        self._progress.expired += 1
        return None

    async def _release(self, order: str, token: FencingToken) -> Ending:
        await asyncio.sleep(self._choices.lag())
        result = await self._shop.release(order, token)
        if result.outcome not in (Outcome.RELEASED, Outcome.EXPIRED):
            raise SenselessAnswer("release", result)
        self._progress.payments_failed += 1
        await self._progress.changed()
        return Ending.PAYMENT_FAILED

    def _report(
        self,
        ending: Ending,
        order: str | None = None,
        unit: int | None = None,
        token: FencingToken | None = None,
        error: str | None = None,
    ) -> BuyerReport:
        return BuyerReport(
            self._plan.name, self._home, ending, order, unit, token, self._refusals, self._expired, error
        )


def only_unit(result: CommandResult) -> int:
    """The number of the one unit of an answer."""
    numbers = [number for line in result.units for number in line.numbers()]
    if len(numbers) != 1:
        raise SenselessAnswer("one unit", result)
    return numbers[0]
