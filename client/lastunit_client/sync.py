"""InventoryClient: AsyncInventoryClient for threads. Same calls, same promises; see there."""

import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

from lastunit_client.aio import AsyncInventoryClient
from lastunit_client.background import BackgroundLoop
from lastunit_client.checkout import Checkout, run_checkout
from lastunit_client.fencing import FencingToken
from lastunit_client.limits import DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS
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

_WANTS_A_LOOP: Final = (
    "InventoryClient.checkout() calls a plain pay(); for a coroutine function use AsyncInventoryClient"
)


class InventoryClient:
    """A client of the whole cluster, for any number of threads; what they call at once travels together.

    Parameters, results and errors are those of AsyncInventoryClient, which runs on a private event loop thread in here.
    Close it (or use `with`): calls under way in other threads raise ClientClosedError, and so does every later one. One
    left open is closed at interpreter exit. It does not survive fork(): used in the child it raises ClientClosedError,
    and so does a new one there if any client was used before. Start processes by spawn, or fork before the first call.
    """

    def __init__(self, endpoints: Sequence[str], *, timeout: float = 10.0, attempt_timeout: float = 3.0) -> None:
        self._client = AsyncInventoryClient(endpoints, timeout=timeout, attempt_timeout=attempt_timeout)
        self._loop = BackgroundLoop(self, self._client.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread. May be called again, from any thread."""
        self._loop.close()

    # Commands on reservations.

    def place_order(
        self, lines: Lines, *, reservation_id: str | None = None, timeout: float | None = None
    ) -> CommandResult:
        """Reserve and confirm at once, all lines or nothing: ORDER_PLACED with its units, or a refusal."""
        return self._loop.run(self._client.place_order(lines, reservation_id=reservation_id, timeout=timeout))

    def reserve(
        self,
        lines: Lines,
        *,
        reservation_id: str | None = None,
        hold_ticks: int = 0,
        timeout: float | None = None,
    ) -> CommandResult:
        """Hold units for hold_ticks full ticks (0: the cluster's default): RESERVED with its token, or a refusal."""
        return self._loop.run(
            self._client.reserve(lines, reservation_id=reservation_id, hold_ticks=hold_ticks, timeout=timeout)
        )

    def confirm(
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
        return self._loop.run(self._client.confirm(reservation_id, token, lines, timeout=timeout))

    def release(
        self, reservation_id: str, token: FencingToken | None = None, *, timeout: float | None = None
    ) -> CommandResult:
        """Free what is held: RELEASED, or a refusal. Without a token: cancel for good an id whose answer never came.

        STALE_TOKEN where it is held after all: call again with the token of the refusal's `reservation`.
        """
        return self._loop.run(self._client.release(reservation_id, token, timeout=timeout))

    def extend_hold(
        self, reservation_id: str, token: FencingToken, until_tick: int, *, timeout: float | None = None
    ) -> CommandResult:
        """Let the hold expire at until_tick, a tick of the clock: EXTENDED with the tick it got, or a refusal.

        Never earlier than agreed before, and at most the cluster's cap after the hold was made.
        """
        return self._loop.run(self._client.extend_hold(reservation_id, token, until_tick, timeout=timeout))

    def return_units(
        self, reservation_id: str, units: Units, *, return_id: str | None = None, timeout: float | None = None
    ) -> CommandResult:
        """Put named units of a confirmed reservation back to available: RETURNED, or a refusal."""
        return self._loop.run(self._client.return_units(reservation_id, units, return_id=return_id, timeout=timeout))

    # Commands on stock.

    def receive_stock(
        self, lines: Lines, *, receipt_id: str | None = None, timeout: float | None = None
    ) -> CommandResult:
        """Add new units: RECEIVED with their numbers."""
        return self._loop.run(self._client.receive_stock(lines, receipt_id=receipt_id, timeout=timeout))

    def adjust_stock(
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
        return self._loop.run(
            self._client.adjust_stock(
                sku,
                reason=reason,
                quantity=quantity,
                ranges=ranges,
                adjustment_id=adjustment_id,
                timeout=timeout,
            )
        )

    # The whole purchase.

    def checkout(
        self,
        lines: Lines,
        pay: Callable[[CommandResult], PaymentT],
        *,
        reservation_id: str | None = None,
        hold_ticks: int = 0,
    ) -> Checkout[PaymentT]:
        """Reserve, pay(reserved), then confirm; release when the payment fails. See the table in checkout.py.

        pay: a plain function, called in this thread. It raises, or returns False, when nothing was paid. May be called
        again for an id whose first run died: pay idempotently, by request_id. Raises PaidButExpired (refund) and
        PaidButUnconfirmed (ask), beside what pay and the commands raise; TypeError for a coroutine function.
        """
        if inspect.iscoroutinefunction(pay):
            raise TypeError(_WANTS_A_LOOP)
        steps = _BlockingSteps(self, lines, reservation_id, hold_ticks)
        return _run_blocking(run_checkout(steps, partial(_paid, pay)))

    # Queries. Linearizable unless stale; min_index waits until the node has applied that index.

    def get_stock(
        self, sku: str, *, stale: bool = False, min_index: int = 0, timeout: float | None = None
    ) -> StockLevel:
        """The stock level of one sku. NotFoundError when it never had any."""
        return self._loop.run(self._client.get_stock(sku, stale=stale, min_index=min_index, timeout=timeout))

    def get_reservation(
        self, reservation_id: str, *, stale: bool = False, min_index: int = 0, timeout: float | None = None
    ) -> Reservation:
        """One reservation. NotFoundError when the id is unknown, was refused, or is forgotten."""
        return self._loop.run(
            self._client.get_reservation(reservation_id, stale=stale, min_index=min_index, timeout=timeout)
        )

    def list_stock(
        self, *, page_size: int = 100, stale: bool = False, min_index: int = 0, timeout: float | None = None
    ) -> Iterator[StockLevel]:
        """Every stock level, by sku, fetched page by page as needed: each page is one snapshot, timeout is per page."""
        levels = self._client.list_stock(page_size=page_size, stale=stale, min_index=min_index, timeout=timeout)
        yield from self._loop.iterate(levels, _rows_of_a_page(page_size))

    def list_reservations(
        self,
        *,
        state: ReservationState | None = None,
        page_size: int = 100,
        stale: bool = False,
        min_index: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Reservation]:
        """Every reservation (in this state), by id, in pages as list_stock."""
        reservations = self._client.list_reservations(
            state=state, page_size=page_size, stale=stale, min_index=min_index, timeout=timeout
        )
        yield from self._loop.iterate(reservations, _rows_of_a_page(page_size))

    # One node. A single attempt: the question is about that node, not another.

    def status(self, endpoint: str, *, hash_at_index: int = 0, timeout: float = 2.0) -> ClusterStatus:
        """How the node stands; answers without a quorum.

        hash_at_index: give the state hash at that index, once it is applied (NotPossibleError: too long ago); 0: now.
        """
        return self._loop.run(self._client.status(endpoint, hash_at_index=hash_at_index, timeout=timeout))

    def transfer_leadership(self, endpoint: str, *, node: str = "", timeout: float | None = None) -> str:
        """Ask the leader at this endpoint to hand over, to a named node or the one furthest; the new leader's name.

        NotPossibleError when the node cannot see to it. After an indefinite error it may hand over all the same.
        """
        return self._loop.run(self._client.transfer_leadership(endpoint, node=node, timeout=timeout))


class _BlockingSteps:
    """The steps of one checkout; coroutines that never suspend, since each waits for its answer in this thread."""

    def __init__(self, client: InventoryClient, lines: Lines, reservation_id: str | None, hold_ticks: int) -> None:
        self._client = client
        self._lines = lines
        self._reservation_id = reservation_id
        self._hold_ticks = hold_ticks

    async def reserve(self) -> CommandResult:
        return self._client.reserve(self._lines, reservation_id=self._reservation_id, hold_ticks=self._hold_ticks)

    async def confirm(self, reservation_id: str, token: FencingToken) -> CommandResult:
        return self._client.confirm(reservation_id, token)

    async def release(self, reservation_id: str, token: FencingToken) -> CommandResult:
        return self._client.release(reservation_id, token)


def _paid(pay: Callable[[CommandResult], PaymentT], reserved: CommandResult) -> PaymentT:
    """What pay() returns. What is to be awaited is not: a coroutine is not even begun, and the units are released."""
    payment = pay(reserved)
    if inspect.iscoroutine(payment):
        payment.close()
    if inspect.isawaitable(payment):
        raise TypeError(_WANTS_A_LOOP)
    return payment


def _run_blocking(steps: Coroutine[object, None, Checkout[PaymentT]]) -> Checkout[PaymentT]:
    """Run a coroutine that never suspends: one algorithm serves threads and event loops."""
    try:
        steps.send(None)
    except StopIteration as done:
        result: Checkout[PaymentT] = done.value
        return result
    raise AssertionError("a step of a checkout suspended")


def _rows_of_a_page(page_size: object) -> int:
    """How many rows the nodes put into a page at most. What is no size is for the call to refuse."""
    if page_size == 0:
        return DEFAULT_PAGE_ROWS
    return page_size if isinstance(page_size, int) and 0 < page_size < MAX_PAGE_ROWS else MAX_PAGE_ROWS
