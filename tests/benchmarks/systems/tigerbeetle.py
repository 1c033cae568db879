"""TigerBeetle through its own Python client, which batches concurrent calls by itself: an order is a pending transfer.

Its servers are brought by whoever runs the benchmark (`--tigerbeetle 3001,3002,3003`), so they are not started anew,
and rounds go on with new accounts. The stock account's credits are the units; it cannot owe more than it has.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import tigerbeetle as tb

from benchmarks.plan import Live, Operation, closed, opened, require

LIMIT_S = 20.0
LEDGER = 700
CODE = 1
UNITS = 100_000_000
MESSAGE = 100


class TigerBeetle:
    """See plan.System. addresses: of all replicas, as its client takes them; empty: it is not measured."""

    name = "tigerbeetle"
    cases = (
        *closed("pending transfer", 1, 64, 256),
        *closed("pending transfer, messages", 8, batch=MESSAGE),
        *opened("pending transfer", 256),
    )

    def __init__(self, addresses: str = "", cluster_id: int = 0) -> None:
        self._addresses = addresses
        self._cluster_id = cluster_id
        self.nodes = addresses.count(",") + 1

    def missing(self) -> str | None:
        """Its server is in no package registry."""
        return None if self._addresses else "no servers: start them, and give --tigerbeetle ADDRESSES"

    def version(self) -> str:
        """Of the client; a server takes clients of its own version and a few older ones."""
        return version("tigerbeetle")

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        """New accounts with stock."""
        async with tb.ClientAsync(cluster_id=self._cluster_id, replica_addresses=self._addresses) as client:
            live = Accounts(client)
            async with asyncio.timeout(LIMIT_S):  # the client itself waits for its servers for ever
                await live.stock()
            yield live


class Accounts:
    """See plan.Live: three accounts, and transfers between them."""

    def __init__(self, client: tb.ClientAsync) -> None:
        self._client = client
        self._source, self._stock, self._sold = tb.id(), tb.id(), tb.id()
        self._ids = itertools.count(tb.id())  # rising, as its own ids are
        self.operations: Mapping[str, Operation] = {
            "pending transfer": self._place,
            "pending transfer, messages": self._place_many,
        }

    async def stock(self) -> None:
        """Three accounts, and units in the second."""
        bounded = tb.AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
        accounts = [
            tb.Account(id=self._source, ledger=LEDGER, code=CODE),
            tb.Account(id=self._stock, ledger=LEDGER, code=CODE, flags=bounded),
            tb.Account(id=self._sold, ledger=LEDGER, code=CODE),
        ]
        made = await self._client.create_accounts(accounts)
        require(all(one.status == tb.CreateAccountStatus.CREATED for one in made), f"accounts: {made}")
        units = tb.Transfer(
            id=next(self._ids),
            debit_account_id=self._source,
            credit_account_id=self._stock,
            amount=UNITS,
            ledger=LEDGER,
            code=CODE,
        )
        moved = await self._client.create_transfers([units])
        require(moved[0].status == tb.CreateTransferStatus.CREATED, f"stock: {moved}")

    def _order(self) -> tb.Transfer:
        return tb.Transfer(
            id=next(self._ids),
            debit_account_id=self._stock,
            credit_account_id=self._sold,
            amount=1,
            ledger=LEDGER,
            code=CODE,
            flags=tb.TransferFlags.PENDING,
        )

    async def _place(self, caller: int) -> int:
        return await self._send([self._order()])

    async def _place_many(self, caller: int) -> int:
        return await self._send([self._order() for _ in range(MESSAGE)])

    async def _send(self, orders: list[tb.Transfer]) -> int:
        results = await self._client.create_transfers(orders)
        return sum(one.status == tb.CreateTransferStatus.CREATED for one in results)

    async def check(self, done: Mapping[str, int]) -> None:
        """So many units are pending."""
        sold = sum(done.values())
        (stock,) = await self._client.lookup_accounts([self._stock])
        require(stock.debits_pending == sold, f"{sold} were answered, {stock.debits_pending} are pending")
