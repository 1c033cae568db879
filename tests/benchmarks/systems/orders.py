"""Orders of lastunit's API, as the nodes and the echo take them: one by one, or many a message."""

import itertools
from collections.abc import Callable, Iterator, Mapping

import grpc

from benchmarks.plan import Operation
from lastunit.v1 import inventory_pb2
from lastunit.v1.inventory_pb2_grpc import InventoryServiceStub
from lastunit_client import AsyncInventoryClient, Outcome

LIMIT_S = 20.0
PLACED = inventory_pb2.OUTCOME_ORDER_PLACED

Call = grpc.aio.StreamStreamCall[inventory_pb2.ExecuteRequest, inventory_pb2.ExecuteResponse]


def new_ids(prefix: str) -> Iterator[str]:
    """Ids that no other call has."""
    return (f"{prefix}-{number}" for number in itertools.count(1))


def by_client(client: AsyncInventoryClient, lines: Callable[[], Mapping[str, int]]) -> Operation:
    """One order a request; the library makes the id, and gathers what callers ask at once into messages."""

    async def place(caller: int) -> int:
        return (await client.place_order(lines())).outcome is Outcome.ORDER_PLACED

    return place


def by_unary(channel: grpc.aio.Channel, prefix: str) -> Operation:
    """One order of the hot sku an RPC, without the library."""
    stub = InventoryServiceStub(channel)
    ids = new_ids(prefix)
    lines = [inventory_pb2.Line(sku="hot", quantity=1)]

    async def place(caller: int) -> int:
        request = inventory_pb2.PlaceOrderRequest(reservation_id=next(ids), lines=lines)
        return (await stub.PlaceOrder(request, timeout=LIMIT_S)).result.outcome == PLACED

    return place


class Messages:
    """Execute messages of so many orders of the hot sku; each caller has a stream of its own."""

    def __init__(self, channel: grpc.aio.Channel, prefix: str, orders: int) -> None:
        self._stub = InventoryServiceStub(channel)
        self._ids = new_ids(prefix)
        self._orders = orders
        self._lines = [inventory_pb2.Line(sku="hot", quantity=1)]
        self._streams: dict[int, Call] = {}
        self._sequences = itertools.count(1)

    async def __call__(self, caller: int) -> int:
        """Send one message, and read its answer."""
        if caller not in self._streams:
            self._streams[caller] = self._stub.Execute()
        stream = self._streams[caller]
        sequence = next(self._sequences)
        await stream.write(inventory_pb2.ExecuteRequest(sequence=sequence, commands=self._commands()))
        answer = await stream.read()
        if not isinstance(answer, inventory_pb2.ExecuteResponse) or answer.sequence != sequence:
            return 0
        return sum(one.result.outcome == PLACED for one in answer.results)

    def _commands(self) -> list[inventory_pb2.Command]:
        orders = (
            inventory_pb2.PlaceOrderRequest(reservation_id=next(self._ids), lines=self._lines)
            for _ in range(self._orders)
        )
        return [inventory_pb2.Command(place_order=order) for order in orders]
