"""Holds whose time has come free their units; ids whose retention is over are forgotten. In bounded steps.

A step expires at most sweep_size holds and forgets at most sweep_size ids. Holds are counted by their ranges too, which
take the time: baskets of a hundred skus, or units in pieces. Every entry begins with a step, and so does every new
tick; the clock stands still while due holds are left. A command that would be refused for want of units does not wait
for its turn: it expires the due holds of its own skus first, as many as it needs. What takes more than an entry may
(state.py) is postponed, with those expired that were, and goes on in another entry.
"""

from collections.abc import Iterable
from typing import Final

from lastunit_node.statemachine import remembered
from lastunit_node.statemachine.commands import Line, UnitRange
from lastunit_node.statemachine.errors import Exhausted, InvariantError
from lastunit_node.statemachine.ranges import count, normalise
from lastunit_node.statemachine.reservations import NO_UNITS, closed_row, count_ranges, units_of
from lastunit_node.statemachine.results import ReservationState, Shortage
from lastunit_node.statemachine.state import State
from lastunit_node.statemachine.stock import Place
from lastunit_node.statemachine.tables import ReservationRow

RANGES_A_HOLD = 10  # that a step frees for each hold of its size; who reaches that ends it. Not Final: tests change it
AT_ONCE: Final = 64  # due holds of one sku, looked for together: the first of them, if they have many ranges
HOLD: Final = 10  # ranges that take as long as a hold to expire, beside its own
_EXPIRED: Final = ReservationState.EXPIRED


def step(state: State) -> None:
    """Expire and forget as much as one step may."""
    if state.configured is None or state.swept_at == state.clock:
        return
    limit = state.parameters.sweep_size
    due = state.reservations.due(state.clock, limit)
    first = _first_of(due, RANGES_A_HOLD * limit)
    _expire(state, first)
    state.left_due_holds = len(first) < len(due) or len(due) == limit
    if _forget(state, limit) < limit and not state.left_due_holds:
        state.swept_at = state.clock


def is_behind(state: State) -> bool:
    """Whether due holds are left."""
    return bool(state.reservations.due(state.clock, 1))


def _first_of(due: list[ReservationRow], enough: int) -> list[ReservationRow]:
    """Those up to the hold that makes it enough ranges."""
    ranges = 0
    for position, row in enumerate(due):
        if ranges >= enough:
            return due[:position]
        ranges += count_ranges(row.units)
    return due


def _expire(state: State, due: Iterable[ReservationRow]) -> None:
    """End holds whose time has come. Their units are available again, all of a sku in one go: most are in a row."""
    freed: dict[str, list[UnitRange]] = {}
    forget_at_tick = state.end_of_retention()
    for row in due:
        units = units_of(row)
        state.spend(HOLD + count_ranges(row.units))
        expired = closed_row(
            row,
            _EXPIRED,
            units=NO_UNITS,
            answer=remembered.kept_answer(row, units),
            forget_at_tick=forget_at_tick,
        )
        state.reservations.expire(row, expired, units)
        for line in units:
            freed.setdefault(line.sku, []).extend(line.ranges)
    for sku, ranges in freed.items():
        joined = normalise(ranges)
        if count(joined) != count(tuple(ranges)):
            raise InvariantError(f"two due holds have the same units of {sku}")
        state.stock.put_back(state.stock.known(sku), joined, Place.HELD)


def shortage(state: State, line: Line) -> Shortage | None:
    """What is missing for a line of a known sku, once its due holds were expired, as many as needed.

    Raises Exhausted when these are too many for one entry; those that were expired stay so.
    """
    shelf = state.stock.known(line.sku)
    while shelf.available < line.quantity:
        if not expire_first_of(state, line.sku, line.quantity - shelf.available):
            return Shortage(line.sku, line.quantity, shelf.available)
    return None


def expire_first_of(state: State, sku: str, wanted: int) -> bool:
    """Expire the first due holds of one sku that have so many units of it, or some of them; False when none is due.

    Raises Exhausted.
    """
    if state.is_exhausted:
        raise Exhausted
    due: list[ReservationRow] = []
    found = state.reservations.first_due_of(sku, state.clock, min(wanted, AT_ONCE))
    for row in _first_of(found, RANGES_A_HOLD * AT_ONCE):
        if wanted <= 0:
            break
        due.append(row)
        wanted -= sum([count(ranges) for its, ranges in units_of(row) if its == sku])
    _expire(state, due)
    return bool(due)


def _forget(state: State, limit: int) -> int:
    """Forget so many ids, or all whose retention is over; how many they were."""
    closed = state.reservations.to_forget(state.clock, limit)
    for reservation in closed:
        state.reservations.forget(reservation)
    changes = state.changes.to_forget(state.clock, limit - len(closed))
    for change in changes:
        state.changes.forget(change)
    return len(closed) + len(changes)
