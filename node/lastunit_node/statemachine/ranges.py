"""Arithmetic of unit ranges: pure functions on tuples of UnitRange.

A *normal* tuple of ranges is ascending, disjoint, and has no two neighbours that touch. Every function here takes
normal tuples and gives normal tuples; normalise makes one of anything.
"""

from collections.abc import Iterable

from lastunit_node.statemachine.commands import Line, UnitLine, UnitRange

Ranges = tuple[UnitRange, ...]


def normalise(ranges: Iterable[UnitRange]) -> Ranges:
    """The same units in ascending, disjoint ranges, neighbours joined."""
    joined: list[UnitRange] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1].last + 1:
            joined[-1] = UnitRange(joined[-1].first, max(joined[-1].last, last))
        else:
            joined.append(UnitRange(first, last))
    return tuple(joined)


def count(ranges: Ranges) -> int:
    """How many units."""
    return sum([last - first + 1 for first, last in ranges])


def split(ranges: Ranges, quantity: int) -> tuple[Ranges, Ranges]:
    """The `quantity` lowest units, and the rest."""
    lowest: list[UnitRange] = []
    for position, (first, last) in enumerate(ranges):
        size = last - first + 1
        if quantity < size:
            rest = (UnitRange(first + quantity, last), *ranges[position + 1 :])
            return tuple(lowest) + ((UnitRange(first, first + quantity - 1),) if quantity else ()), rest
        lowest.append(UnitRange(first, last))
        quantity -= size
    return tuple(lowest), ()


def subtract(ranges: Ranges, taken: Ranges) -> Ranges:
    """The units of `ranges` that are not in `taken`."""
    left: list[UnitRange] = []
    position = 0
    for first, last in ranges:
        while position < len(taken) and taken[position].last < first:
            position += 1
        next_free, cut = first, position
        while cut < len(taken) and taken[cut].first <= last:
            if next_free < taken[cut].first:
                left.append(UnitRange(next_free, taken[cut].first - 1))
            next_free = taken[cut].last + 1
            cut += 1
        if next_free <= last:
            left.append(UnitRange(next_free, last))
    return tuple(left)


def contains(ranges: Ranges, wanted: Ranges) -> bool:
    """Whether every wanted unit is in `ranges`."""
    return not subtract(wanted, ranges)


def sum_lines(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """One line per sku, sorted by sku: what an order really asks for."""
    if len(lines) < 2:
        return lines
    by_sku = {line.sku: line for line in lines}
    if len(by_sku) == len(lines):
        return tuple([by_sku[sku] for sku in sorted(by_sku)])
    totals: dict[str, int] = {}
    for sku, quantity in lines:
        totals[sku] = totals.get(sku, 0) + quantity
    return tuple([Line(sku, totals[sku]) for sku in sorted(totals)])


def join_unit_lines(lines: tuple[UnitLine, ...]) -> tuple[UnitLine, ...]:
    """One line per sku, sorted by sku, its ranges normal."""
    named: dict[str, list[UnitRange]] = {}
    for sku, ranges in lines:
        named.setdefault(sku, []).extend(ranges)
    return tuple([UnitLine(sku, normalise(named[sku])) for sku in sorted(named)])
