"""A scripted node: a real grpc.aio server that does what a test tells it, with a memory of ids for a cluster."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from lastunit.v1 import cluster_pb2, inventory_pb2
from lastunit.v1.cluster_pb2_grpc import ClusterServiceServicer, add_ClusterServiceServicer_to_server
from lastunit.v1.inventory_pb2_grpc import InventoryServiceServicer, add_InventoryServiceServicer_to_server

Reaction = Callable[[inventory_pb2.ExecuteRequest, Any], Awaitable[inventory_pb2.ExecuteResponse]]

ACCEPTED = {
    "place_order": inventory_pb2.OUTCOME_ORDER_PLACED,
    "reserve": inventory_pb2.OUTCOME_RESERVED,
    "confirm": inventory_pb2.OUTCOME_CONFIRMED,
    "release": inventory_pb2.OUTCOME_RELEASED,
    "extend_hold": inventory_pb2.OUTCOME_EXTENDED,
    "receive_stock": inventory_pb2.OUTCOME_RECEIVED,
    "adjust_stock": inventory_pb2.OUTCOME_ADJUSTED,
    "return_units": inventory_pb2.OUTCOME_RETURNED,
}


class Applied(dict[str, int]):
    """Shared by the nodes of a test: how often each id was applied, replays not counted."""

    def result(self, command: inventory_pb2.Command) -> inventory_pb2.ExecuteResult:
        kind = command.WhichOneof("command")
        assert kind is not None
        request = getattr(command, kind)
        request_id = request.ListFields()[0][1]
        key = f"{kind} {request_id}"
        replayed = key in self
        self.setdefault(key, 1)
        result = inventory_pb2.CommandResult(outcome=ACCEPTED[kind], replayed=replayed, result_index=7, applied_index=9)
        if kind in {"place_order", "reserve"}:
            result.token.CopyFrom(inventory_pb2.FencingToken(term=2, index=7, position=0))
        if kind in {"place_order", "reserve"} and replayed:
            state = (
                inventory_pb2.RESERVATION_STATE_HELD if kind == "reserve" else inventory_pb2.RESERVATION_STATE_CONFIRMED
            )
            result.reservation.CopyFrom(
                inventory_pb2.Reservation(
                    reservation_id=request_id, state=state, token=result.token, lines=request.lines
                )
            )
        return inventory_pb2.ExecuteResult(result=result)


def error(
    code: StatusCode, message: str = "no", *, definite: bool | None = None, details: Sequence[Message] = ()
) -> status_pb2.Status:
    """A google.rpc.Status as a node makes it; definite None: without an ErrorInfo."""
    packed = []
    if definite is not None:
        metadata = {"definite": str(definite).lower()}
        details = [error_details_pb2.ErrorInfo(reason="TESTED", domain="lastunit", metadata=metadata), *details]
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromMicroseconds(int(seconds * 1e6))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def bad_request(field: str, description: str) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
    return error_details_pb2.BadRequest(field_violations=[violation])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, at most 10 s."""
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.005)


class FakeNode(InventoryServiceServicer, ClusterServiceServicer):
    """Reacts to each Execute message with the next of `reactions`, then with `answer`. `inbox` gets every message."""

    def __init__(self, applied: Applied | None = None) -> None:
        self.applied = Applied() if applied is None else applied
        self.reactions: list[Reaction] = []
        self.inbox: asyncio.Queue[inventory_pb2.ExecuteRequest] = asyncio.Queue()
        self.messages: list[inventory_pb2.ExecuteRequest] = []
        self.streams = 0
        self.query_errors: list[status_pb2.Status | StatusCode | None] = []  # None: no answer, ever
        self.queries: list[Message] = []
        self.orders = 0
        self.skus = 5
        self.endpoint = "127.0.0.1:0"

    async def start(self) -> None:
        self._server = grpc.aio.server()
        add_InventoryServiceServicer_to_server(self, self._server)
        add_ClusterServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(self.endpoint)
        self.endpoint = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """At once, as when killed; start() brings it back on the same port."""
        await self._server.stop(None)

    # Reactions.

    async def answer(self, request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
        results = [self.applied.result(command) for command in request.commands]
        return inventory_pb2.ExecuteResponse(sequence=request.sequence, results=results)

    async def hang(self, request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
        return await asyncio.Future()

    async def apply_and_break(
        self, request: inventory_pb2.ExecuteRequest, context: Any
    ) -> inventory_pb2.ExecuteResponse:
        await self.answer(request, context)
        return await self.abort_with(StatusCode.UNAVAILABLE)(request, context)

    async def answer_and_break(
        self, request: inventory_pb2.ExecuteRequest, context: Any
    ) -> inventory_pb2.ExecuteResponse:
        """The answer, with the end of the stream right behind it."""
        await context.write(await self.answer(request, context))
        return await self.abort_with(StatusCode.UNAVAILABLE)(request, context)

    def abort_with(self, code: StatusCode) -> Reaction:
        """End the whole stream with a bare code, as a broken transport does."""

        async def reaction(request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
            await context.abort(code, "broken")
            raise AssertionError

        return reaction

    def fail_with(self, status: status_pb2.Status) -> Reaction:
        """No answer for any command of the message, but for this reason."""

        async def reaction(request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
            results = [inventory_pb2.ExecuteResult(error=status) for _ in request.commands]
            return inventory_pb2.ExecuteResponse(sequence=request.sequence, results=results)

        return reaction

    def wait_for(self, gate: asyncio.Event) -> Reaction:
        """Answer once the gate opens."""

        async def reaction(request: inventory_pb2.ExecuteRequest, context: Any) -> inventory_pb2.ExecuteResponse:
            await gate.wait()
            return await self.answer(request, context)

        return reaction

    # Services.

    async def Execute(
        self, requests: AsyncIterator[inventory_pb2.ExecuteRequest], context: Any
    ) -> AsyncIterator[inventory_pb2.ExecuteResponse]:
        self.streams += 1
        async for request in requests:
            self.messages.append(request)
            self.inbox.put_nowait(request)
            react = self.reactions.pop(0) if self.reactions else self.answer
            yield await react(request, context)

    async def PlaceOrder(
        self, request: inventory_pb2.PlaceOrderRequest, context: Any
    ) -> inventory_pb2.PlaceOrderResponse:
        """Always fails: the library never calls it."""
        self.orders += 1
        await context.abort(StatusCode.UNAVAILABLE, "broken")
        raise AssertionError

    async def _alone(self, request: Message, context: Any) -> Any:
        """A command in a call of its own, which the library never makes."""
        await context.abort(StatusCode.UNIMPLEMENTED, "only as part of Execute")

    Reserve = Confirm = Release = ExtendHold = ReceiveStock = AdjustStock = ReturnUnits = _alone

    async def GetStock(self, request: inventory_pb2.GetStockRequest, context: Any) -> inventory_pb2.GetStockResponse:
        await self._query(request, context)
        stock = inventory_pb2.StockLevel(sku=request.sku, received=5, available=2, held=1, sold=1, removed=1)
        return inventory_pb2.GetStockResponse(stock=stock, applied_index=9)

    async def ListStock(self, request: inventory_pb2.ListStockRequest, context: Any) -> inventory_pb2.ListStockResponse:
        """All skus, in pages as real nodes make them."""
        await self._query(request, context)
        first = int(request.page_token or "0")
        last = min(self.skus, first + min(request.page_size or 100, 1_000))
        stock = [inventory_pb2.StockLevel(sku=f"S{number}") for number in range(first, last)]
        token = str(last) if last < self.skus else ""
        return inventory_pb2.ListStockResponse(stock=stock, next_page_token=token, applied_index=10 + first)

    async def GetReservation(
        self, request: inventory_pb2.GetReservationRequest, context: Any
    ) -> inventory_pb2.GetReservationResponse:
        await self._query(request, context)
        reservation = inventory_pb2.Reservation(
            reservation_id=request.reservation_id, state=inventory_pb2.RESERVATION_STATE_CONFIRMED
        )
        return inventory_pb2.GetReservationResponse(reservation=reservation, applied_index=9)

    async def ListReservations(
        self, request: inventory_pb2.ListReservationsRequest, context: Any
    ) -> inventory_pb2.ListReservationsResponse:
        await self._query(request, context)
        held = inventory_pb2.Reservation(reservation_id="r1", state=inventory_pb2.RESERVATION_STATE_HELD)
        return inventory_pb2.ListReservationsResponse(reservations=[held], applied_index=9)

    async def GetStatus(self, request: cluster_pb2.GetStatusRequest, context: Any) -> cluster_pb2.GetStatusResponse:
        await self._query(request, context)
        state_hash = cluster_pb2.StateHash(index=3, chain=b"c", digest=b"d")
        return cluster_pb2.GetStatusResponse(node="n1", role=cluster_pb2.ROLE_LEADER, state_hash=state_hash)

    async def ScanState(self, request: cluster_pb2.ScanStateRequest, context: Any) -> cluster_pb2.ScanStateResponse:
        await self._query(request, context)
        return cluster_pb2.ScanStateResponse(node="n1")

    async def TransferLeadership(
        self, request: cluster_pb2.TransferLeadershipRequest, context: Any
    ) -> cluster_pb2.TransferLeadershipResponse:
        await self._query(request, context)
        return cluster_pb2.TransferLeadershipResponse(leader=request.node or "n2")

    async def _query(self, request: Message, context: Any) -> None:
        self.queries.append(request)
        if not self.query_errors:
            return
        failure = self.query_errors.pop(0)
        if failure is None:
            await asyncio.Future()
        elif isinstance(failure, StatusCode):
            await context.abort(failure, "broken")
        else:
            code = next(code for code in StatusCode if code.value[0] == failure.code)
            await context.abort(code, failure.message, (("grpc-status-details-bin", failure.SerializeToString()),))


class NodeThread:
    """A scripted node on an event loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.node = FakeNode()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.run(self.node.start())

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def end(self) -> None:
        self.run(self.node.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
