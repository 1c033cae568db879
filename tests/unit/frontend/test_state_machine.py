"""The front end over the real state machine, without Raft: what callers are told is what was applied."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.replica.interface import FailureReason, ProposalFailed
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Configure, Entry, Tick
from lastunit_node.statemachine.database import Identity, open_reader, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.queries import Snapshot, read_snapshot
from lastunit_node.statemachine.results import Applied

from .fakes import PARAMETERS, STATUS, FakeReplica

if TYPE_CHECKING:
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

VASES = [pb.Line(sku="vase", quantity=3)]
ONE = [pb.Line(sku="vase", quantity=1)]


class MachineReplica(FakeReplica):
    """Applies every proposal to a state database; so many answers as `losing` are lost after they were applied."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.losing = 0
        self._path = path
        self._connection = open_state(path, identity=Identity("c", "n1"))
        self._machine = StateMachine(self._connection)

    async def apply(self, *commands: Command) -> Applied:
        return await self._apply_bytes(encode_entry(Entry(1, 1_000, commands)))

    async def propose(self, entry: bytes) -> Applied:
        applied = await self._apply_bytes(entry)
        if self.losing:
            self.losing -= 1
            raise ProposalFailed(FailureReason.UNKNOWN)
        return applied

    async def _apply_bytes(self, entry: bytes) -> Applied:
        applied = self._machine.apply(self._machine.applied_index + 1, STATUS.term, entry)
        self._machine.commit()
        machine = self._machine
        await self.set(
            replace(STATUS, applied_index=machine.applied_index, clock=machine.clock, parameters=machine.parameters)
        )
        return applied

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:  # type: ignore[override]
        with closing(open_reader(self._path)) as reader, read_snapshot(reader) as snapshot:
            yield snapshot

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[MachineReplica]:
    replica = MachineReplica(tmp_path / "state.db")
    await replica.apply(Configure(*PARAMETERS))
    yield replica
    replica.close()


@pytest.fixture(autouse=True)
async def stock(inventory: "InventoryServiceAsyncStub") -> None:
    await inventory.ReceiveStock(pb.ReceiveStockRequest(receipt_id="r1", lines=VASES))


async def level(inventory: "InventoryServiceAsyncStub") -> tuple[int, int, int]:
    """Available, held, sold."""
    stock = (await inventory.GetStock(pb.GetStockRequest(sku="vase"))).stock
    return stock.available, stock.held, stock.sold


async def test_a_hold_is_confirmed_with_its_token(inventory: "InventoryServiceAsyncStub") -> None:
    reserved = (await inventory.Reserve(pb.ReserveRequest(reservation_id="o1", lines=ONE))).result
    assert await level(inventory) == (2, 1, 0)
    stale = pb.FencingToken(term=1, index=1)
    request = pb.ConfirmRequest(reservation_id="o1", token=stale)
    assert (await inventory.Confirm(request)).result.outcome == pb.OUTCOME_STALE_TOKEN
    request.token.CopyFrom(reserved.token)
    confirmed = (await inventory.Confirm(request)).result
    assert confirmed.outcome == pb.OUTCOME_CONFIRMED
    again = (await inventory.Confirm(request)).result
    assert (again.replayed, again.reservation.state) == (True, pb.RESERVATION_STATE_CONFIRMED)
    assert await level(inventory) == (2, 0, 1)


async def test_an_answer_that_was_lost_is_given_again(
    inventory: "InventoryServiceAsyncStub", replica: MachineReplica
) -> None:
    replica.losing = 2
    placed = (await inventory.PlaceOrder(pb.PlaceOrderRequest(reservation_id="o1", lines=ONE))).result
    assert (placed.outcome, placed.replayed) == (pb.OUTCOME_ORDER_PLACED, True)
    assert placed.result_index == placed.applied_index - 2
    assert await level(inventory) == (2, 0, 1)


async def test_a_refusal_is_an_answer(inventory: "InventoryServiceAsyncStub") -> None:
    request = pb.PlaceOrderRequest(reservation_id="o1", lines=[pb.Line(sku="vase", quantity=4)])
    refused = (await inventory.PlaceOrder(request)).result
    assert refused.outcome == pb.OUTCOME_OUT_OF_STOCK
    assert list(refused.shortages) == [pb.Shortage(sku="vase", requested=4, available=3)]


async def test_one_message_sells_each_unit_once(inventory: "InventoryServiceAsyncStub") -> None:
    orders = [pb.PlaceOrderRequest(reservation_id=f"o{number}", lines=ONE) for number in range(5)]
    stream: Any = inventory.Execute()
    await stream.write(pb.ExecuteRequest(sequence=1, commands=[pb.Command(place_order=order) for order in orders]))
    results = [answer.result for answer in (await stream.read()).results]
    placed = [result for result in results if result.outcome == pb.OUTCOME_ORDER_PLACED]
    assert [result.units[0].ranges[0].first for result in placed] == [1, 2, 3]
    assert [result.outcome for result in results[3:]] == [pb.OUTCOME_OUT_OF_STOCK] * 2
    assert await level(inventory) == (0, 0, 3)
    stream.cancel()


async def test_a_hold_that_is_due_reads_as_expired(
    inventory: "InventoryServiceAsyncStub", replica: MachineReplica
) -> None:
    await inventory.Reserve(pb.ReserveRequest(reservation_id="o1", lines=ONE, hold_ticks=1))
    await replica.apply(Tick(0))
    await replica.apply(Tick(1))
    found = await inventory.GetReservation(pb.GetReservationRequest(reservation_id="o1"))
    assert found.reservation.state == pb.RESERVATION_STATE_EXPIRED
    listed = await inventory.ListReservations(pb.ListReservationsRequest(state=pb.RESERVATION_STATE_EXPIRED))
    assert [reservation.reservation_id for reservation in listed.reservations] == ["o1"]


async def test_an_answer_is_read_back_at_its_index(inventory: "InventoryServiceAsyncStub") -> None:
    released = (await inventory.Release(pb.ReleaseRequest(reservation_id="o1"))).result
    options = pb.ReadOptions(consistency=pb.READ_CONSISTENCY_STALE, min_index=released.applied_index)
    found = await inventory.GetReservation(pb.GetReservationRequest(reservation_id="o1", options=options))
    assert found.applied_index >= released.applied_index
    assert found.reservation.state == pb.RESERVATION_STATE_RELEASED
