"""The echo's process: `python -P echo_server.py PORT`. Every order is placed, nothing is remembered."""

import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from lastunit.v1 import inventory_pb2
from lastunit.v1.inventory_pb2_grpc import InventoryServiceServicer, add_InventoryServiceServicer_to_server

Context = grpc.aio.ServicerContext[object, object]


def answer(order: inventory_pb2.PlaceOrderRequest, result: inventory_pb2.CommandResult) -> None:
    """What a node says of an order that it placed."""
    result.outcome = inventory_pb2.OUTCOME_ORDER_PLACED
    result.result_index = result.applied_index = 123_456
    token = result.token
    token.term, token.index, token.position = 2, 123_456, 7
    for line in order.lines:
        units = result.units.add()
        units.sku = line.sku
        taken = units.ranges.add()
        taken.first = taken.last = 654_321


class Echo(InventoryServiceServicer):
    """Orders only."""

    async def PlaceOrder(
        self, request: inventory_pb2.PlaceOrderRequest, context: Context
    ) -> inventory_pb2.PlaceOrderResponse:
        response = inventory_pb2.PlaceOrderResponse()
        answer(request, response.result)
        return response

    async def Execute(
        self, request_iterator: AsyncIterator[inventory_pb2.ExecuteRequest], context: Context
    ) -> AsyncIterator[inventory_pb2.ExecuteResponse]:
        async for request in request_iterator:
            response = inventory_pb2.ExecuteResponse(sequence=request.sequence)
            for command in request.commands:
                answer(command.place_order, response.results.add().result)
            yield response


async def serve(port: int) -> None:
    """Until it is killed."""
    server = grpc.aio.server()
    add_InventoryServiceServicer_to_server(Echo(), server)  # type: ignore[abstract]  # the rest is unimplemented at run time
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
