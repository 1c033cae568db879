"""Queries for one thing: a function of the snapshot for each request. A malformed request fails before any waiting."""

from collections.abc import Callable

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.errors import invalid_argument, not_found
from lastunit_node.frontend.responses import fill_reservation, fill_stock
from lastunit_node.statemachine.limits import ID_RULE, is_id
from lastunit_node.statemachine.queries import Snapshot


def stock_by_sku(request: pb.GetStockRequest) -> Callable[[Snapshot], pb.GetStockResponse]:
    """GetStock; CallError NOT_FOUND for a sku that never had any units."""
    _check_name("sku", request.sku)

    def query(snapshot: Snapshot) -> pb.GetStockResponse:
        level = snapshot.stock(request.sku)
        if level is None:
            raise not_found(f"sku {request.sku} never had any units, as of index {snapshot.applied_index}")
        response = pb.GetStockResponse(applied_index=snapshot.applied_index)
        fill_stock(response.stock, level)
        return response

    return query


def reservation_by_id(request: pb.GetReservationRequest) -> Callable[[Snapshot], pb.GetReservationResponse]:
    """GetReservation; CallError NOT_FOUND for an id that is unknown, was refused, or is forgotten."""
    _check_name("reservation_id", request.reservation_id)

    def query(snapshot: Snapshot) -> pb.GetReservationResponse:
        reservation = snapshot.reservation(request.reservation_id)
        if reservation is None:
            raise not_found(
                f"reservation {request.reservation_id} is unknown, was refused, or is forgotten, "
                f"as of index {snapshot.applied_index}"
            )
        response = pb.GetReservationResponse(applied_index=snapshot.applied_index)
        fill_reservation(response.reservation, reservation)
        return response

    return query


def _check_name(field: str, name: str) -> None:
    if not is_id(name):
        raise invalid_argument(field, ID_RULE)
