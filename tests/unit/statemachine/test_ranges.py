"""Range arithmetic by example; tests/property holds it against sets of numbers."""

from lastunit_node.statemachine.commands import Line, UnitLine
from lastunit_node.statemachine.ranges import (
    contains,
    count,
    join_unit_lines,
    normalise,
    split,
    subtract,
    sum_lines,
)

from .shop import ranges


def test_ranges_that_overlap_or_touch_are_joined() -> None:
    assert normalise(ranges((7, 9), (1, 2), (3, 3), (8, 12), (20, 20))) == ranges((1, 3), (7, 12), (20, 20))
    assert normalise(()) == ()


def test_a_range_within_another_disappears() -> None:
    assert normalise(ranges((1, 10), (3, 4))) == ranges((1, 10))


def test_units_are_counted() -> None:
    assert count(ranges((1, 3), (7, 7))) == 4
    assert count(()) == 0


def test_a_split_gives_the_lowest_units_and_the_rest() -> None:
    stock = ranges((1, 3), (7, 9))

    assert split(stock, 0) == ((), stock)
    assert split(stock, 2) == (ranges((1, 2)), ranges((3, 3), (7, 9)))
    assert split(stock, 3) == (ranges((1, 3)), ranges((7, 9)))
    assert split(stock, 4) == (ranges((1, 3), (7, 7)), ranges((8, 9)))
    assert split(stock, 6) == (stock, ())


def test_units_are_subtracted() -> None:
    assert subtract(ranges((1, 10)), ranges((1, 2), (5, 5), (10, 10))) == ranges((3, 4), (6, 9))
    assert subtract(ranges((1, 2), (5, 6)), ranges((2, 5))) == ranges((1, 1), (6, 6))
    assert subtract(ranges((1, 2)), ranges((3, 4))) == ranges((1, 2))


def test_ranges_contain_what_leaves_nothing_over() -> None:
    assert contains(ranges((1, 3), (5, 6)), ranges((2, 3), (5, 5)))
    assert not contains(ranges((1, 3), (5, 6)), ranges((3, 5)))


def test_lines_are_summed_and_sorted() -> None:
    assert sum_lines((Line("b", 1), Line("a", 2), Line("b", 3))) == (Line("a", 2), Line("b", 4))


def test_unit_lines_are_joined_and_sorted() -> None:
    named = (UnitLine("b", ranges((2, 2))), UnitLine("a", ranges((1, 1))), UnitLine("b", ranges((1, 1))))

    assert join_unit_lines(named) == (UnitLine("a", ranges((1, 1))), UnitLine("b", ranges((1, 2))))
