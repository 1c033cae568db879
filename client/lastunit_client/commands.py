"""From a caller's arguments to encoded commands of lastunit.v1, by protobuf; orders.py has those that are called most.

Says what is not even encodable; the nodes judge the rest.
"""

from collections.abc import Mapping

from lastunit.v1 import inventory_pb2
from lastunit_client.arguments import elements, integer, shown, text
from lastunit_client.errors import InvalidRequestError
from lastunit_client.models import Ranges, UnitLine, UnitRange, Units


def adjust_stock(adjustment_id: str, sku: str, *, quantity: int | None, ranges: Ranges | None, reason: str) -> bytes:
    """An AdjustStock command, by quantity or by ranges."""
    if (quantity is None) == (ranges is None):
        raise InvalidRequestError("quantity", "give either a quantity or ranges", request_id=adjustment_id)
    request = inventory_pb2.AdjustStockRequest(
        adjustment_id=text("adjustment_id", adjustment_id),
        sku=text("sku", sku),
        quantity=integer("quantity", quantity or 0),
        ranges=_ranges("ranges", () if ranges is None else ranges),
        reason=text("reason", reason),
    )
    return inventory_pb2.Command(adjust_stock=request).SerializeToString()


def return_units(return_id: str, reservation_id: str, units: Units) -> bytes:
    """A ReturnUnits command."""
    request = inventory_pb2.ReturnUnitsRequest(
        return_id=text("return_id", return_id),
        reservation_id=text("reservation_id", reservation_id),
        lines=_unit_lines(units),
    )
    return inventory_pb2.Command(return_units=request).SerializeToString()


def _unit_lines(units: Units) -> list[inventory_pb2.UnitLine]:
    pairs = (
        list(units.items())
        if isinstance(units, Mapping)
        else [_pair(f"lines[{number}]", line) for number, line in enumerate(elements("lines", units))]
    )
    return [
        inventory_pb2.UnitLine(sku=text(f"lines[{number}].sku", sku), ranges=_ranges(f"lines[{number}].ranges", ranges))
        for number, (sku, ranges) in enumerate(pairs)
    ]


def _pair(field: str, line: UnitLine) -> tuple[str, Ranges]:
    try:
        return line.sku, line.ranges
    except AttributeError:
        raise InvalidRequestError(field, f"expected a UnitLine, got {line!r}") from None


def _ranges(field: str, ranges: Ranges) -> list[inventory_pb2.UnitRange]:
    return [_range(f"{field}[{number}]", entry) for number, entry in enumerate(elements(field, ranges))]


def _range(field: str, entry: UnitRange | tuple[int, int]) -> inventory_pb2.UnitRange:
    try:
        first, last = (entry.first, entry.last) if isinstance(entry, UnitRange) else entry
        return inventory_pb2.UnitRange(first=first, last=last)
    except (TypeError, ValueError):
        raise InvalidRequestError(field, f"expected first and last unit, got {shown(entry)}") from None
