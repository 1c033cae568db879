"""Range arithmetic against sets of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from lastunit_node.statemachine.commands import UnitRange
from lastunit_node.statemachine.ranges import Ranges, contains, count, normalise, split, subtract

pairs = st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda pair: UnitRange(pair[0], sum(pair)))
any_ranges = st.lists(pairs, max_size=8).map(tuple)
normal_ranges = any_ranges.map(normalise)


def numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def assert_normal(ranges: Ranges) -> None:
    assert normalise(ranges) == ranges


@given(any_ranges)
def test_normalise_keeps_every_number(ranges: Ranges) -> None:
    assert numbers(normalise(ranges)) == numbers(ranges)
    assert_normal(normalise(ranges))
    assert count(normalise(ranges)) == len(numbers(ranges))


@given(normal_ranges, st.integers(0, 60))
def test_split_gives_the_lowest(ranges: Ranges, quantity: int) -> None:
    lowest, rest = split(ranges, quantity)

    assert sorted(numbers(ranges))[:quantity] == sorted(numbers(lowest))
    assert numbers(lowest) | numbers(rest) == numbers(ranges)
    assert not numbers(lowest) & numbers(rest)
    assert_normal(lowest)
    assert_normal(rest)


@given(normal_ranges, normal_ranges)
def test_subtract_is_set_difference(ranges: Ranges, taken: Ranges) -> None:
    assert numbers(subtract(ranges, taken)) == numbers(ranges) - numbers(taken)
    assert_normal(subtract(ranges, taken))
    assert contains(ranges, taken) == (numbers(taken) <= numbers(ranges))
