"""The echo's process: `python -P echo_server.py PORT`. Every order is placed, nothing is remembered."""

import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from lastunit.v1 import inventory_pb2
from lastunit.v1.inventory_pb2_grpc import InventoryServiceServicer, add_InventoryServiceServicer_to_server

Context = grpc.aio.ServicerContext[object, object]


def answer(order: inventory_pb2.PlaceOrderRequest) -> inventory_pb2.CommandResult:
    """What a node says of an order that it placed."""
    token = inventory_pb2.FencingToken(term=2, index=123_456, position=7)
    units = [
        inventory_pb2.UnitLine(sku=line.sku, ranges=[inventory_pb2.UnitRange(first=654_321, last=654_321)])
        for line in order.lines
    ]
    return inventory_pb2.CommandResult(
        outcome=inventory_pb2.OUTCOME_ORDER_PLACED,
        result_index=123_456,
        applied_index=123_456,
        token=token,
        units=units,
        reservation=inventory_pb2.Reservation(
            reservation_id=order.reservation_id,
            state=inventory_pb2.RESERVATION_STATE_CONFIRMED,
            token=token,
            created_at_tick=1_234,
            lines=order.lines,
            units=units,
        ),
    )


class Echo(InventoryServiceServicer):
    """Orders only."""

    async def PlaceOrder(
        self, request: inventory_pb2.PlaceOrderRequest, context: Context
    ) -> inventory_pb2.PlaceOrderResponse:
        return inventory_pb2.PlaceOrderResponse(result=answer(request))

    async def Execute(
        self, request_iterator: AsyncIterator[inventory_pb2.ExecuteRequest], context: Context
    ) -> AsyncIterator[inventory_pb2.ExecuteResponse]:
        async for request in request_iterator:
            results = [inventory_pb2.ExecuteResult(result=answer(command.place_order)) for command in request.commands]
            yield inventory_pb2.ExecuteResponse(sequence=request.sequence, results=results)


async def serve(port: int) -> None:
    """Until it is killed."""
    server = grpc.aio.server()
    add_InventoryServiceServicer_to_server(Echo(), server)  # type: ignore[abstract]  # the rest is unimplemented at run time
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
