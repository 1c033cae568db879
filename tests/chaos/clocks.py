"""What the answers say of the logical clock: its value at the index of every hold and order, bounds elsewhere."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

from chaos.history import Call, History, Reservation
from chaos.verdict import Verdict

FOREVER = 1 << 60


class Clocks:
    """The clock at an index, as far as the history tells. It only ever goes forward."""

    def __init__(self, history: History, verdict: Verdict) -> None:
        self._at: dict[int, int] = {}
        for index, clock, told in _told(history):
            if self._at.setdefault(index, clock) != clock:
                verdict.add("expiry", f"at index {index} the clock is {self._at[index]}, but {told} says {clock}")
        self._indexes = sorted(self._at)
        for one, after in pairwise(self._indexes):
            if self._at[after] < self._at[one]:
                verdict.add(
                    "expiry", f"the clock is {self._at[one]} at index {one}, and {self._at[after]} at the later {after}"
                )

    def exactly(self, index: int) -> int | None:
        """The clock at an index; None where nothing tells."""
        return self._at.get(index)

    def least(self, index: int) -> int:
        """It was at least this, since it was so before."""
        before = bisect_right(self._indexes, index)
        return self._at[self._indexes[before - 1]] if before else 0

    def most(self, index: int) -> int:
        """It was at most this, since it was so later."""
        after = bisect_left(self._indexes, index)
        return self._at[self._indexes[after]] if after < len(self._indexes) else FOREVER


def _told(history: History) -> Iterator[tuple[int, int, object]]:
    """(index, clock, by whom): a reservation was created when the clock was so; a hold expires so much later."""
    for call in history.calls:
        if call.answer is not None:
            yield from _told_by(history, call)
    for state in history.states:
        for reservation in state.reservations:
            yield from _created(reservation, "the final state")


def _told_by(history: History, call: Call) -> Iterator[tuple[int, int, object]]:
    answer = call.answer
    assert answer is not None
    if answer.reservation is not None:
        yield from _created(answer.reservation, call)
    if answer.outcome == "RESERVED":
        length = min(call.arguments.hold_ticks or history.run.hold_ticks, history.run.hold_cap_ticks)
        yield answer.index, answer.expires_at_tick - length - 1, call


def _created(reservation: Reservation, told: object) -> Iterator[tuple[int, int, object]]:
    if reservation.token is not None:
        yield reservation.token.log_index, reservation.created_at_tick, told
