"""InventoryService: every command and query, and Execute. Each call is convert, wait, convert back."""

# ruff: noqa: N802 - the methods are named as in inventory.proto

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from lastunit.v1 import inventory_pb2 as pb
from lastunit.v1 import inventory_pb2_grpc
from lastunit_node.frontend import unary
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.calls import Answering, Context, Unparsed
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.execute import ExecuteStream, Streams
from lastunit_node.frontend.gate import Gate
from lastunit_node.frontend.listings import list_reservations, list_stock
from lastunit_node.frontend.lookups import reservation_by_id, stock_by_sku
from lastunit_node.frontend.reads import Reader
from lastunit_node.frontend.requests import parsed
from lastunit_node.frontend.unary import RequestReader
from lastunit_node.frontend.wire import ResultWriter
from lastunit_node.statemachine.queries import Snapshot

Written = Any  # bytes: the response, written already
QueryT = TypeVar(
    "QueryT", pb.GetStockRequest, pb.ListStockRequest, pb.GetReservationRequest, pb.ListReservationsRequest
)
ResponseT = TypeVar("ResponseT")


class InventoryService(inventory_pb2_grpc.InventoryServiceServicer):
    """Commands and queries on stock and reservations, as inventory.proto documents them."""

    def __init__(self, batcher: Batcher, reader: Reader, gate: Gate) -> None:
        self._batcher = batcher
        self._reader = reader
        self._gate = gate
        self._streams = Streams()

    async def PlaceOrder(self, request: Unparsed, context: Context) -> Written:
        """Reserve and confirm in one step."""
        return await self._command(unary.PLACE_ORDER, request, context)

    async def Reserve(self, request: Unparsed, context: Context) -> Written:
        """Hold units."""
        return await self._command(unary.RESERVE, request, context)

    async def Confirm(self, request: Unparsed, context: Context) -> Written:
        """Sell what is held."""
        return await self._command(unary.CONFIRM, request, context)

    async def Release(self, request: Unparsed, context: Context) -> Written:
        """Free what is held."""
        return await self._command(unary.RELEASE, request, context)

    async def ExtendHold(self, request: Unparsed, context: Context) -> Written:
        """Move an expiry later."""
        return await self._command(unary.EXTEND_HOLD, request, context)

    async def ReceiveStock(self, request: Unparsed, context: Context) -> Written:
        """Add new units."""
        return await self._command(unary.RECEIVE_STOCK, request, context)

    async def AdjustStock(self, request: Unparsed, context: Context) -> Written:
        """Remove damaged or lost units."""
        return await self._command(unary.ADJUST_STOCK, request, context)

    async def ReturnUnits(self, request: Unparsed, context: Context) -> Written:
        """Put sold units back."""
        return await self._command(unary.RETURN_UNITS, request, context)

    async def GetStock(self, request: Unparsed, context: Context) -> pb.GetStockResponse:
        """One stock level."""
        return await self._query(pb.GetStockRequest, stock_by_sku, request, context)

    async def ListStock(self, request: Unparsed, context: Context) -> pb.ListStockResponse:
        """A page of stock levels."""
        return await self._query(pb.ListStockRequest, list_stock, request, context)

    async def GetReservation(self, request: Unparsed, context: Context) -> pb.GetReservationResponse:
        """One reservation."""
        return await self._query(pb.GetReservationRequest, reservation_by_id, request, context)

    async def ListReservations(self, request: Unparsed, context: Context) -> pb.ListReservationsResponse:
        """A page of reservations."""
        return await self._query(pb.ListReservationsRequest, list_reservations, request, context)

    async def Execute(self, request_iterator: AsyncIterator[bytes], context: Context) -> None:  # type: ignore[override]
        """Many commands per message, many messages under way."""
        async with Answering(context, self._gate, changes=True):
            stream = ExecuteStream(self._batcher, self._gate.closed, self._streams, context.write)
            await stream.serve(request_iterator)

    async def _command(self, reader: RequestReader, request: bytes, context: Context) -> bytes:
        """Get one command applied; its response."""
        async with Answering(context, self._gate, changes=True) as deadline:
            command = reader.read(request)
            applied_index, (answer,) = await self._batcher.run([command], [deadline], len(request))
            if isinstance(answer, CallError):
                raise answer
            return ResultWriter(applied_index).field(answer).encode("latin-1")

    async def _query(
        self,
        kind: type[QueryT],
        query_of: Callable[[QueryT], Callable[[Snapshot], ResponseT]],
        request: bytes,
        context: Context,
    ) -> ResponseT:
        """Find what a request of this kind asks for, in a state as fresh as it asks for."""
        async with Answering(context, self._gate) as deadline:
            query = parsed(kind, request)
            return await self._reader.read(query.options, deadline, query_of(query))
