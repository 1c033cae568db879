"""Queries for pages: a function of the snapshot for each request. A malformed request fails before any waiting.

A page ends after page_size rows, or once its rows take MAX_MESSAGE_BYTES, or when ROWS_LOOKED_AT were looked at for it,
wanted or not: a page may be shorter than asked, even empty, while more follow (AIP-158), so that it fits a caller's
message limit and does not keep the event loop for long.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import invalid_argument
from lastunit_node.frontend.pages import page_size, page_token, start_after
from lastunit_node.frontend.responses import fill_reservation, fill_stock
from lastunit_node.statemachine.limits import MAX_MESSAGE_BYTES
from lastunit_node.statemachine.queries import Snapshot
from lastunit_node.statemachine.results import Reservation, ReservationState, StockLevel
from lastunit_node.statemachine.tables import LAST_KEY

ROWS_AT_ONCE: Final = 100  # so that a page of large rows does not load 1,000 of them first
ROWS_LOOKED_AT: Final = 5_000  # for one page of reservations: 7 ms. A million held up all orders for 1.3 s
RowT = TypeVar("RowT")
Fetch = Callable[[str, int], list[RowT]]  # (after this key, at most so many)
Fill = Callable[[RowT], tuple[str, Message]]  # adds a row to the response; its key and message


def list_stock(request: pb.ListStockRequest) -> Callable[[Snapshot], pb.ListStockResponse]:
    """ListStock: stock levels by sku."""
    size = page_size(request.page_size)
    after = start_after("stock", request.page_token)

    def query(snapshot: Snapshot) -> pb.ListStockResponse:
        response = pb.ListStockResponse(applied_index=snapshot.applied_index)

        def fill(level: StockLevel) -> tuple[str, Message]:
            message = response.stock.add()
            fill_stock(message, level)
            return level.sku, message

        response.next_page_token = _fill_page(snapshot.list_stock, fill, "stock", after, size)
        return response

    return query


def list_reservations(request: pb.ListReservationsRequest) -> Callable[[Snapshot], pb.ListReservationsResponse]:
    """ListReservations: reservations by id, all or those in one state."""
    size = page_size(request.page_size)
    state = _state_of(request)
    listing = "reservations" if state is None else f"reservations.{state.value}"
    after = start_after(listing, request.page_token)

    def query(snapshot: Snapshot) -> pb.ListReservationsResponse:
        response = pb.ListReservationsResponse(applied_index=snapshot.applied_index)
        upto = snapshot.stretch_of_reservations(after, ROWS_LOOKED_AT)

        def fetch(after: str, limit: int) -> list[Reservation]:
            return snapshot.list_reservations(after, limit, state, upto)

        def fill(reservation: Reservation) -> tuple[str, Message]:
            message = response.reservations.add()
            fill_reservation(message, reservation)
            return reservation.reservation_id, message

        response.next_page_token = _fill_page(fetch, fill, listing, after, size, upto)
        return response

    return query


def _fill_page(fetch: Fetch[RowT], fill: Fill[RowT], listing: str, after: str, size: int, upto: str = LAST_KEY) -> str:
    """Fill a page of at most `size` rows; the token of the next one, empty when no row follows.

    upto: fetch gives no rows after this key; more may follow, unless it is LAST_KEY.
    """
    room = MAX_MESSAGE_BYTES
    while size and room > 0:
        limit = min(size, ROWS_AT_ONCE)
        rows = fetch(after, limit)
        for row in rows:
            after, message = fill(row)
            size, room = size - 1, room - message.ByteSize()
            if room <= 0:
                break
        else:
            if len(rows) < limit:
                return _token_after(listing, upto)
    return page_token(listing, after) if fetch(after, 1) else _token_after(listing, upto)


def _token_after(listing: str, upto: str) -> str:
    return "" if upto == LAST_KEY else page_token(listing, upto)


def _state_of(request: pb.ListReservationsRequest) -> ReservationState | None:
    if not request.state:
        return None
    try:
        return ReservationState(request.state)
    except ValueError:
        raise invalid_argument("state", f"has no value {request.state}") from None
