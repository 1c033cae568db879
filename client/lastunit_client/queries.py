"""From a caller's arguments to the requests of queries in lastunit.v1.

Says what is not even encodable; the nodes judge the rest. Callers may give anything: hence Any.
"""

from typing import Any, Final

from lastunit.v1 import cluster_pb2, inventory_pb2
from lastunit_client.arguments import integer, text
from lastunit_client.errors import InvalidRequestError
from lastunit_client.models import ReservationState

_INT32: Final = range(-(1 << 31), 1 << 31)
_UINT64: Final = range(1 << 64)


def get_stock(sku: Any, stale: bool, min_index: Any) -> inventory_pb2.GetStockRequest:
    """Asks for the stock level of one sku."""
    return inventory_pb2.GetStockRequest(sku=text("sku", sku), options=_options(stale, min_index))


def get_reservation(reservation_id: Any, stale: bool, min_index: Any) -> inventory_pb2.GetReservationRequest:
    """Asks for one reservation."""
    checked_id = text("reservation_id", reservation_id)
    return inventory_pb2.GetReservationRequest(reservation_id=checked_id, options=_options(stale, min_index))


def list_stock(page_size: Any, stale: bool, min_index: Any) -> inventory_pb2.ListStockRequest:
    """Asks for the first page."""
    return inventory_pb2.ListStockRequest(page_size=_page_size(page_size), options=_options(stale, min_index))


def list_reservations(state: Any, page_size: Any, stale: bool, min_index: Any) -> inventory_pb2.ListReservationsRequest:
    """Asks for the first page; state None: all."""
    return inventory_pb2.ListReservationsRequest(
        state=_state(state), page_size=_page_size(page_size), options=_options(stale, min_index)
    )


def get_status(hash_at_index: Any) -> cluster_pb2.GetStatusRequest:
    """Asks how a node stands, with the hash at that index; 0: now."""
    return cluster_pb2.GetStatusRequest(hash_at_index=integer("hash_at_index", hash_at_index, _UINT64))


def _options(stale: bool, min_index: Any) -> inventory_pb2.ReadOptions:
    """How a query is to be read."""
    consistency = inventory_pb2.READ_CONSISTENCY_STALE if stale else inventory_pb2.READ_CONSISTENCY_LINEARIZABLE
    return inventory_pb2.ReadOptions(consistency=consistency, min_index=integer("min_index", min_index, _UINT64))


def _page_size(value: Any) -> int:
    return integer("page_size", value, _INT32)


def _state(value: Any) -> inventory_pb2.ReservationState.ValueType:
    if value is None:
        return inventory_pb2.RESERVATION_STATE_UNSPECIFIED
    if not isinstance(value, ReservationState):
        raise InvalidRequestError("state", f"expected a ReservationState, got {value!r}")
    return inventory_pb2.ReservationState.ValueType(value.value)
