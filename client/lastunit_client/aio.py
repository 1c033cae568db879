"""AsyncInventoryClient: every command and query as a coroutine. See its docstring for what a call promises."""
# ruff: noqa: ASYNC109 - a call's deadline spans attempts on several nodes; asyncio.timeout() would hide what is known

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar, overload

from lastunit.v1 import cluster_pb2
from lastunit_client import answers, commands, orders, queries
from lastunit_client.arguments import text
from lastunit_client.calls import Calls
from lastunit_client.checkout import Checkout, run_checkout
from lastunit_client.fencing import FencingToken
from lastunit_client.ids import new_id
from lastunit_client.models import (
    ClusterStatus,
    CommandResult,
    Lines,
    Ranges,
    Reservation,
    ReservationState,
    StockLevel,
    Units,
)

PaymentT = TypeVar("PaymentT")


class AsyncInventoryClient:
    """A client of the whole cluster, for one event loop.

    endpoints: "host:port" of every node, tried in this order; the first that works is kept until it fails.
    timeout: seconds until a call without an answer raises; longer than a failover. Each call may bring its own.
        A call repeats its id for so long: at most half the cluster's retention, as errors.py says.
    attempt_timeout: seconds after which a silent node is given up for another one, under the same id.

    What a call promises: it is retried on other nodes, under its id, while it is unclear or the cluster is busy, until
    its deadline; it is applied at most once. It returns an answer, a refusal included, or raises a LastUnitError whose
    `definite` says whether it may have been applied. Commands of concurrent callers travel together in one stream.
    Ids not given are made (ids.py) and given back as `request_id`.

    Threads and processes: one client belongs to the event loop it is first used on (other threads: InventoryClient).
    gRPC does not survive fork(): in the child of a process that had used a client, every new one raises
    ClientClosedError. Start processes by spawn, or fork before the first call.
    """

    def __init__(self, endpoints: Sequence[str], *, timeout: float = 10.0, attempt_timeout: float = 3.0) -> None:
        self._calls = Calls(endpoints, timeout=timeout, attempt_timeout=attempt_timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Calls under way raise ClientClosedError. May be called again."""
        await self._calls.close()

    # Commands on reservations.

    async def place_order(
        self, lines: Lines, *, reservation_id: str | None = None, timeout: float | None = None
    ) -> CommandResult:
        """Reserve and confirm at once, all lines or nothing: ORDER_PLACED with its units, or a refusal."""
        request_id = new_id() if reservation_id is None else reservation_id
        return await self._calls.command(request_id, orders.place_order(request_id, lines), timeout)

    async def reserve(
        self,
        lines: Lines,
        *,
        reservation_id: str | None = None,
        hold_ticks: int = 0,
        timeout: float | None = None,
    ) -> CommandResult:
        """Hold units for hold_ticks full ticks (0: the cluster's default): RESERVED with its token, or a refusal."""
        request_id = new_id() if reservation_id is None else reservation_id
        return await self._calls.command(request_id, orders.reserve(request_id, lines, hold_ticks), timeout)

    async def confirm(
        self,
        reservation_id: str,
        token: FencingToken,
        lines: Lines | None = None,
        *,
        timeout: float | None = None,
    ) -> CommandResult:
        """Sell what is held: CONFIRMED with the units sold, or a refusal (EXPIRED, STALE_TOKEN, ...).

        lines: keep only so many per sku (lowest numbers); the rest, and skus not named, are freed.
        """
        return await self._calls.command(reservation_id, orders.confirm(reservation_id, token, lines), timeout)

    async def release(
        self, reservation_id: str, token: FencingToken | None = None, *, timeout: float | None = None
    ) -> CommandResult:
        """Free what is held: RELEASED, or a refusal. Without a token: cancel for good an id whose answer never came.

        STALE_TOKEN where it is held after all: call again with the token of the refusal's `reservation`.
        """
        return await self._calls.command(reservation_id, orders.release(reservation_id, token), timeout)

    async def extend_hold(
        self, reservation_id: str, token: FencingToken, until_tick: int, *, timeout: float | None = None
    ) -> CommandResult:
        """Let the hold expire at until_tick, a tick of the clock: EXTENDED with the tick it got, or a refusal.

        Never earlier than agreed before, and at most the cluster's cap after the hold was made.
        """
        return await self._calls.command(reservation_id, orders.extend_hold(reservation_id, token, until_tick), timeout)

    async def return_units(
        self, reservation_id: str, units: Units, *, return_id: str | None = None, timeout: float | None = None
    ) -> CommandResult:
        """Put named units of a confirmed reservation back to available: RETURNED, or a refusal."""
        request_id = new_id() if return_id is None else return_id
        return await self._calls.command(request_id, commands.return_units(request_id, reservation_id, units), timeout)

    # Commands on stock.

    async def receive_stock(
        self, lines: Lines, *, receipt_id: str | None = None, timeout: float | None = None
    ) -> CommandResult:
        """Add new units: RECEIVED with their numbers."""
        request_id = new_id() if receipt_id is None else receipt_id
        return await self._calls.command(request_id, orders.receive_stock(request_id, lines), timeout)

    async def adjust_stock(
        self,
        sku: str,
        *,
        reason: str,
        quantity: int | None = None,
        ranges: Ranges | None = None,
        adjustment_id: str | None = None,
        timeout: float | None = None,
    ) -> CommandResult:
        """Remove damaged or lost units from available: ADJUSTED with the units, or a refusal.

        Either a quantity (lowest numbers first) or named ranges. reason: up to 256 bytes of UTF-8.
        """
        request_id = new_id() if adjustment_id is None else adjustment_id
        command = commands.adjust_stock(request_id, sku, quantity=quantity, ranges=ranges, reason=reason)
        return await self._calls.command(request_id, command, timeout)

    # The whole purchase.

    @overload
    async def checkout(
        self,
        lines: Lines,
        pay: Callable[[CommandResult], Awaitable[PaymentT]],
        *,
        reservation_id: str | None = None,
        hold_ticks: int = 0,
    ) -> Checkout[PaymentT]: ...

    @overload
    async def checkout(
        self,
        lines: Lines,
        pay: Callable[[CommandResult], PaymentT | Awaitable[PaymentT]],
        *,
        reservation_id: str | None = None,
        hold_ticks: int = 0,
    ) -> Checkout[PaymentT]: ...

    async def checkout(
        self,
        lines: Lines,
        pay: Callable[[CommandResult], PaymentT | Awaitable[PaymentT]],
        *,
        reservation_id: str | None = None,
        hold_ticks: int = 0,
    ) -> Checkout[PaymentT]:
        """Reserve, pay(reserved), then confirm; release when the payment fails. See the table in checkout.py.

        pay: a coroutine function, or a plain one that does not block the event loop. It raises, or returns False, when
        nothing was paid. May be called again for an id whose first run died: pay idempotently, by request_id.
        Raises PaidButExpired (refund) and PaidButUnconfirmed (ask), beside what pay and the commands raise.
        """
        return await run_checkout(_Steps(self, lines, reservation_id, hold_ticks), pay)

    # Queries. Linearizable unless stale; min_index waits until the node has applied that index.

    async def get_stock(
        self, sku: str, *, stale: bool = False, min_index: int = 0, timeout: float | None = None
    ) -> StockLevel:
        """The stock level of one sku. NotFoundError when it never had any."""
        request = queries.get_stock(sku, stale, min_index)
        response = await self._calls.query(lambda stub: stub.GetStock, request, timeout)
        return answers.stock_level(response.stock, response.applied_index)

    async def get_reservation(
        self, reservation_id: str, *, stale: bool = False, min_index: int = 0, timeout: float | None = None
    ) -> Reservation:
        """One reservation. NotFoundError when the id is unknown, was refused, or is forgotten."""
        request = queries.get_reservation(reservation_id, stale, min_index)
        response = await self._calls.query(lambda stub: stub.GetReservation, request, timeout)
        return answers.reservation(response.reservation, response.applied_index)

    async def list_stock(
        self, *, page_size: int = 100, stale: bool = False, min_index: int = 0, timeout: float | None = None
    ) -> AsyncGenerator[StockLevel, None]:
        """Every stock level, by sku, fetched page by page as needed: each page is one snapshot, timeout is per page."""
        request = queries.list_stock(page_size, stale, min_index)
        while True:
            response = await self._calls.query(lambda stub: stub.ListStock, request, timeout)
            for level in response.stock:
                yield answers.stock_level(level, response.applied_index)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    async def list_reservations(
        self,
        *,
        state: ReservationState | None = None,
        page_size: int = 100,
        stale: bool = False,
        min_index: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[Reservation, None]:
        """Every reservation (in this state), by id, in pages as list_stock."""
        request = queries.list_reservations(state, page_size, stale, min_index)
        while True:
            response = await self._calls.query(lambda stub: stub.ListReservations, request, timeout)
            for reservation in response.reservations:
                yield answers.reservation(reservation, response.applied_index)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    # One node. A single attempt: the question is about that node, not another.

    async def status(self, endpoint: str, *, hash_at_index: int = 0, timeout: float = 2.0) -> ClusterStatus:
        """How the node stands; answers without a quorum.

        hash_at_index: give the state hash at that index, once it is applied (NotPossibleError: too long ago); 0: now.
        """
        request = queries.get_status(hash_at_index)
        response = await self._calls.ask(endpoint, lambda stub: stub.GetStatus, request, timeout, is_query=True)
        return answers.cluster_status(response)

    async def transfer_leadership(self, endpoint: str, *, node: str = "", timeout: float | None = None) -> str:
        """Ask the leader at this endpoint to hand over, to a named node or the one furthest; the new leader's name.

        NotPossibleError when the node cannot see to it. After an indefinite error it may hand over all the same.
        """
        request = cluster_pb2.TransferLeadershipRequest(node=text("node", node))
        transfer = self._calls.ask(endpoint, lambda stub: stub.TransferLeadership, request, timeout, is_query=False)
        return (await transfer).leader


class _Steps:
    """The steps of one checkout."""

    def __init__(self, client: AsyncInventoryClient, lines: Lines, reservation_id: str | None, hold_ticks: int) -> None:
        self._client = client
        self._lines = lines
        self._reservation_id = reservation_id
        self._hold_ticks = hold_ticks
        self.confirm = client.confirm
        self.release = client.release

    async def reserve(self) -> CommandResult:
        return await self._client.reserve(self._lines, reservation_id=self._reservation_id, hold_ticks=self._hold_ticks)
