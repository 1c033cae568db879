"""What the benchmark asks of systems, as far as that needs no server of others."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import tigerbeetle as tb

from benchmarks.plan import CheckFailed, System
from benchmarks.systems import postgres
from benchmarks.systems.echo import Echo
from benchmarks.systems.etcd import Etcd
from benchmarks.systems.lastunit import LastUnit
from benchmarks.systems.postgres import Postgres
from benchmarks.systems.redis import RedisServer
from benchmarks.systems.tigerbeetle import Accounts, TigerBeetle


class Ledger:
    """TigerBeetle's client in memory, as far as it is used."""

    def __init__(self) -> None:
        self.accounts: list[tb.Account] = []
        self.transfers: list[tb.Transfer] = []

    async def create_accounts(self, accounts: Sequence[tb.Account]) -> list[tb.CreateAccountResult]:
        self.accounts += accounts
        return [tb.CreateAccountResult(1, tb.CreateAccountStatus.CREATED) for _ in accounts]

    async def create_transfers(self, transfers: Sequence[tb.Transfer]) -> list[tb.CreateTransferResult]:
        self.transfers += transfers
        return [tb.CreateTransferResult(1, tb.CreateTransferStatus.CREATED) for _ in transfers]

    async def lookup_accounts(self, ids: Sequence[int]) -> list[tb.Account]:
        pending = sum(one.amount for one in self.transfers if one.flags == tb.TransferFlags.PENDING)
        return [tb.Account(id=ids[0], debits_pending=pending)]


async def test_an_order_of_tigerbeetle_is_a_pending_transfer_from_the_stock() -> None:
    ledger = Ledger()
    live = Accounts(cast("tb.ClientAsync", ledger))
    await live.stock()
    assert await live.operations["pending transfer"](0) == 1
    assert await live.operations["pending transfer, messages"](0) == 100
    _, stock, _ = ledger.accounts
    first, *orders = ledger.transfers
    assert (first.credit_account_id, {one.debit_account_id for one in orders}) == (stock.id, {stock.id})
    assert len({one.id for one in ledger.transfers}) == 102
    await live.check({"pending transfer": 1, "pending transfer, messages": 100})
    with pytest.raises(CheckFailed):
        await live.check({"pending transfer": 2})


async def test_orders_are_understood_one_by_one_and_many_a_message(tmp_path: Path) -> None:
    async with Echo().running(tmp_path) as live:
        assert {workload: await place(0) for workload, place in live.operations.items()} == {
            "place": 1,
            "place, unary": 1,
            "place, messages": 100,
        }


@pytest.mark.parametrize(
    "system",
    [LastUnit(3), LastUnit(5), LastUnit(3, quick=True), Etcd(), RedisServer(), Postgres(), TigerBeetle(), Echo()],
)
def test_every_open_loop_has_its_maximum_before(system: System) -> None:
    seen = set()
    for case in system.cases:
        assert not case.percent or (case.workload, case.callers, case.batch) in seen
        seen.add((case.workload, case.callers, case.batch))


@pytest.mark.parametrize(("module", "system"), [("etcd", Etcd()), ("redis", RedisServer())])
def test_a_peer_that_is_not_installed_says_what_to_install(
    module: str, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"benchmarks.systems.{module}.PROGRAM", None)
    assert f"Debian: {module}-server" in str(system.missing())


def test_postgres_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "programs", lambda: None)
    assert "Debian: postgresql" in str(Postgres().missing())
