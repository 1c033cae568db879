"""Units that lie in too many ranges to be taken at once.

Holds that expire and units that come back leave a sku in pieces, down to one unit each. An entry goes through a bounded
number of ranges (state.py), but for its first command: what that may take is bounded here. A range takes some
microseconds on every node, and a place in the answer.
"""

from collections.abc import Iterable

from lastunit_node.statemachine.commands import Line
from lastunit_node.statemachine.state import State

RANGES_AN_ORDER = 10_000  # or an adjustment by quantity; inventory.proto says it too. Not Final: tests change it


def are_too_many(state: State, lines: Iterable[Line]) -> bool:
    """Whether the lowest units of these lines, one per sku, lie in more ranges than a command may take.

    The caller has seen that they are available.
    """
    wanted = list(lines)
    if sum([line.quantity for line in wanted]) <= RANGES_AN_ORDER:
        return False  # a range has one unit at least
    left = RANGES_AN_ORDER
    for sku, quantity in wanted:
        ranges = state.stock.count_ranges(state.stock.known(sku), quantity, left)
        state.spend(left if ranges is None else ranges)
        if ranges is None:
            return True
        left -= ranges
    return False
