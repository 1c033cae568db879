"""InventoryService: every command and query, and Execute. Each call is convert, wait, convert back."""

# ruff: noqa: N802 - the methods are named as in inventory.proto

from collections.abc import AsyncIterator
from typing import TypeVar

from google.protobuf.message import Message

from lastunit.v1 import inventory_pb2 as pb
from lastunit.v1 import inventory_pb2_grpc
from lastunit_node.frontend import requests
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.calls import Context, answering
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.execute import ExecuteStream
from lastunit_node.frontend.gate import Gate
from lastunit_node.frontend.listings import list_reservations, list_stock
from lastunit_node.frontend.lookups import reservation_by_id, stock_by_sku
from lastunit_node.frontend.reads import Reader
from lastunit_node.frontend.responses import fill_result

RequestT = TypeVar("RequestT", bound=Message)


class InventoryService(inventory_pb2_grpc.InventoryServiceServicer):
    """Commands and queries on stock and reservations, as inventory.proto documents them."""

    def __init__(self, batcher: Batcher, reader: Reader, gate: Gate) -> None:
        self._batcher = batcher
        self._reader = reader
        self._gate = gate

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Context) -> pb.PlaceOrderResponse:
        """Reserve and confirm in one step."""
        response = pb.PlaceOrderResponse()
        await self._command(requests.place_order, request, response.result, context)
        return response

    async def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.ReserveResponse:
        """Hold units."""
        response = pb.ReserveResponse()
        await self._command(requests.reserve, request, response.result, context)
        return response

    async def Confirm(self, request: pb.ConfirmRequest, context: Context) -> pb.ConfirmResponse:
        """Sell what is held."""
        response = pb.ConfirmResponse()
        await self._command(requests.confirm, request, response.result, context)
        return response

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Free what is held."""
        response = pb.ReleaseResponse()
        await self._command(requests.release, request, response.result, context)
        return response

    async def ExtendHold(self, request: pb.ExtendHoldRequest, context: Context) -> pb.ExtendHoldResponse:
        """Move an expiry later."""
        response = pb.ExtendHoldResponse()
        await self._command(requests.extend_hold, request, response.result, context)
        return response

    async def ReceiveStock(self, request: pb.ReceiveStockRequest, context: Context) -> pb.ReceiveStockResponse:
        """Add new units."""
        response = pb.ReceiveStockResponse()
        await self._command(requests.receive_stock, request, response.result, context)
        return response

    async def AdjustStock(self, request: pb.AdjustStockRequest, context: Context) -> pb.AdjustStockResponse:
        """Remove damaged or lost units."""
        response = pb.AdjustStockResponse()
        await self._command(requests.adjust_stock, request, response.result, context)
        return response

    async def ReturnUnits(self, request: pb.ReturnUnitsRequest, context: Context) -> pb.ReturnUnitsResponse:
        """Put sold units back."""
        response = pb.ReturnUnitsResponse()
        await self._command(requests.return_units, request, response.result, context)
        return response

    async def GetStock(self, request: pb.GetStockRequest, context: Context) -> pb.GetStockResponse:
        """One stock level."""
        async with answering(context, self._gate) as deadline:
            return await self._reader.read(request.options, deadline, stock_by_sku(request))

    async def ListStock(self, request: pb.ListStockRequest, context: Context) -> pb.ListStockResponse:
        """A page of stock levels."""
        async with answering(context, self._gate) as deadline:
            return await self._reader.read(request.options, deadline, list_stock(request))

    async def GetReservation(self, request: pb.GetReservationRequest, context: Context) -> pb.GetReservationResponse:
        """One reservation."""
        async with answering(context, self._gate) as deadline:
            return await self._reader.read(request.options, deadline, reservation_by_id(request))

    async def ListReservations(
        self, request: pb.ListReservationsRequest, context: Context
    ) -> pb.ListReservationsResponse:
        """A page of reservations."""
        async with answering(context, self._gate) as deadline:
            return await self._reader.read(request.options, deadline, list_reservations(request))

    async def Execute(self, request_iterator: AsyncIterator[pb.ExecuteRequest], context: Context) -> None:  # type: ignore[override]
        """Many commands per message, many messages under way."""
        async with answering(context, self._gate):
            await ExecuteStream(self._batcher, self._gate.closed, context.write).serve(request_iterator)

    async def _command(
        self, convert: requests.Convert[RequestT], request: RequestT, result: pb.CommandResult, context: Context
    ) -> None:
        """Get one command applied and fill in its result."""
        async with answering(context, self._gate) as deadline:
            command = requests.checked(convert, request)
            applied_index, (answer,) = await self._batcher.run([command], [deadline], requests.checked_size(request))
            if isinstance(answer, CallError):
                raise answer
            fill_result(result, answer, applied_index)
