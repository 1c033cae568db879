"""What callers get of a replica."""

from dataclasses import fields

from lastunit_node.replica.interface import CLOCK, Status


def test_the_clock_is_where_it_is_looked_for() -> None:
    assert fields(Status)[CLOCK].name == "clock"
