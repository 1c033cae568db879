"""Lines, units and ranges as the naive model has them: every unit by itself."""

from typing import Any

from lastunit_node.statemachine.commands import Line, UnitLine, UnitRange

Unit = tuple[str, int]
Body = tuple[Any, ...]


def totals(lines: tuple[Line, ...]) -> Body:
    return tuple(
        (sku, sum(line.quantity for line in lines if line.sku == sku)) for sku in sorted({one.sku for one in lines})
    )


def as_lines(wanted: Body) -> tuple[Line, ...]:
    return tuple(Line(sku, quantity) for sku, quantity in wanted)


def numbers(sku: str, ranges: tuple[UnitRange, ...]) -> list[Unit]:
    return sorted({(sku, number) for first, last in ranges for number in range(first, last + 1)})


def named(lines: tuple[UnitLine, ...]) -> list[Unit]:
    return sorted({unit for line in lines for unit in numbers(line.sku, line.ranges)})


def unit_lines(units: list[Unit]) -> tuple[UnitLine, ...]:
    return tuple(
        UnitLine(sku, as_ranges([number for its, number in units if its == sku]))
        for sku in sorted({u[0] for u in units})
    )


def as_ranges(numbers: list[int]) -> tuple[UnitRange, ...]:
    firsts = [number for number in sorted(numbers) if number - 1 not in numbers]
    lasts = [number for number in sorted(numbers) if number + 1 not in numbers]
    return tuple(UnitRange(first, last) for first, last in zip(firsts, lasts, strict=True))
