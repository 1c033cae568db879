"""Requests of single calls, from their bytes: most as orders.py reads them, the rest by protobuf and requests.py."""

from typing import Any, Final

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend import orders, requests
from lastunit_node.statemachine.brief import Brief
from lastunit_node.statemachine.commands import Command

_NO_KIND: Final = -1  # of those that orders.py reads


class RequestReader:
    """Reads the requests of one method."""

    def __init__(self, message: Any, convert: requests.Convert[Any], kind: int = _NO_KIND) -> None:
        """Requests are of this class of protobuf's; kind is one of orders.py's."""
        self._message = message
        self._name = str(message.DESCRIPTOR.name)
        self._convert = convert
        self._kind = kind

    def read(self, data: bytes) -> Command | Brief:
        """The command, checked. CallError for what is none, or not within all limits."""
        plain = orders.plain_request(data, self._kind)
        if plain is not None:
            return plain
        requests.check_size(self._name, len(data))
        return requests.checked(self._convert, requests.parsed(self._message, data))


PLACE_ORDER: Final = RequestReader(pb.PlaceOrderRequest, requests.place_order, orders.PLACE_ORDER)
RESERVE: Final = RequestReader(pb.ReserveRequest, requests.reserve, orders.RESERVE)
CONFIRM: Final = RequestReader(pb.ConfirmRequest, requests.confirm, orders.CONFIRM)
RELEASE: Final = RequestReader(pb.ReleaseRequest, requests.release, orders.RELEASE)
EXTEND_HOLD: Final = RequestReader(pb.ExtendHoldRequest, requests.extend_hold, orders.EXTEND_HOLD)
RECEIVE_STOCK: Final = RequestReader(pb.ReceiveStockRequest, requests.receive_stock)
ADJUST_STOCK: Final = RequestReader(pb.AdjustStockRequest, requests.adjust_stock)
RETURN_UNITS: Final = RequestReader(pb.ReturnUnitsRequest, requests.return_units)
