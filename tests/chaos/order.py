"""Real time and the log: what was answered before another call began stands earlier in the log; ticks keep their pace.

The witness of a call's answer is the index its node had applied by then. What is called later is proposed later, so
its index is larger; a linearizable read's snapshot is at least as far. A stale read may lag, not behind `min_index`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise

from chaos.history import Answer, Call, History, Token
from chaos.verdict import Verdict, is_accepted

ON_RESERVATIONS = frozenset({"reserve", "place", "confirm", "release", "extend"})


class Witnesses:
    """The furthest index that any call had been shown by a moment."""

    def __init__(self, calls: list[Call]) -> None:
        ended = sorted(_shown(calls), key=lambda each: each[0])
        self._moments = [moment for moment, _, _ in ended]
        self._furthest: list[tuple[int, Call]] = []
        for _, index, call in ended:
            best = self._furthest[-1] if self._furthest else (0, call)
            self._furthest.append(max(best, (index, call), key=lambda each: each[0]))

    def before(self, moment: float) -> tuple[int, Call | None]:
        """The furthest index shown before the moment, and by which call; 0 when none was."""
        count = bisect_left(self._moments, moment)
        return self._furthest[count - 1] if count else (0, None)


def _shown(calls: list[Call]) -> Iterator[tuple[float, int, Call]]:
    for call in calls:
        if call.returned_at is not None and call.answer is not None:
            yield call.returned_at, max(call.answer.index, call.answer.applied_index), call


def check_order(history: History, verdict: Verdict) -> None:
    """Every answer against all that had ended before its call began."""
    witnesses = Witnesses(history.calls)
    there = _there(history)
    for call in history.calls:
        if call.came_to == "not_found":
            _check_not_found(call, witnesses, there, verdict)
        elif call.answer is not None:
            _check_one(call, call.answer, witnesses, verdict)


def _check_one(call: Call, answer: Answer, witnesses: Witnesses, verdict: Verdict) -> None:
    floor, earlier = witnesses.before(call.called_at)
    if answer.index > answer.applied_index:
        verdict.add("order", f"{call} was answered by a node that had applied only index {answer.applied_index}")
    if call.is_read and answer.index < call.arguments.min_index:
        verdict.add("order", f"{call} read index {answer.index}, though it asked for {call.arguments.min_index}")
    if call.is_read and not call.arguments.stale and answer.index < floor:
        verdict.add(
            "order", f"stale: {call} read index {answer.index}, but {earlier} had been answered by index {floor} before"
        )
    if not call.is_read and answer.replayed and answer.applied_index < floor:
        verdict.add("order", f"{call} was repeated by a node at index {answer.applied_index}, behind {earlier}")
    if not call.is_read and not answer.replayed and answer.index <= floor:
        verdict.add(
            "order",
            f"{call} began after {earlier} had been answered by index {floor}, and stands before it in the log",
        )


Thing = tuple[str, str]  # what is read by this command, under this id or sku


def _there(history: History) -> dict[Thing, int]:
    """The least index at which a reservation or a sku was there for certain. Neither ever goes while a run lasts."""
    found: dict[Thing, int] = {}
    for thing, index in _shown_things(history):
        found[thing] = min(index, found.get(thing, index))
    return found


def _shown_things(history: History) -> Iterator[tuple[Thing, int]]:
    for call in history.calls:
        answer = call.answer
        if answer is None:
            continue
        if answer.reservation is not None:
            yield ("get_reservation", answer.reservation.id), max(answer.index, answer.applied_index)
        if answer.level is not None:
            yield ("get_stock", answer.level.sku), answer.index
        if call.command in ON_RESERVATIONS and is_accepted(answer.outcome):
            yield ("get_reservation", call.arguments.id), answer.index
        if call.command == "receive" and is_accepted(answer.outcome):
            yield from ((("get_stock", sku), answer.index) for sku in call.arguments.lines)
    for state in history.states:
        yield from ((("get_reservation", one.id), one.token.log_index) for one in state.reservations if one.token)


def _check_not_found(call: Call, witnesses: Witnesses, there: dict[Thing, int], verdict: Verdict) -> None:
    floor, _ = witnesses.before(call.called_at)
    at = there.get((call.command, call.arguments.sku or call.arguments.id))
    seen = call.arguments.min_index if call.arguments.stale else floor
    if at is not None and at <= seen:
        verdict.add("order", f"{call} found nothing, though it was there at index {at} and index {seen} was shown")


def check_tokens(history: History, verdict: Verdict) -> None:
    """A token is where its command stands; none is given twice; terms never go back."""
    owners: dict[Token, str] = {}
    for call in history.calls:
        answer = call.answer
        if answer is None or answer.token is None or answer.outcome not in {"RESERVED", "ORDER_PLACED"}:
            continue
        owner = owners.setdefault(answer.token, call.arguments.id)
        if owner != call.arguments.id:
            verdict.add("token", f"token {tuple(answer.token)} was given to {owner} and to {call.arguments.id}")
        if answer.token.log_index != answer.index:
            verdict.add("token", f"{call} was given the token {tuple(answer.token)}, of another index")
    by_index = sorted(owners, key=lambda token: (token.log_index, token.position))
    for one, after in pairwise(by_index):
        if after.term < one.term:
            verdict.add("token", f"token {tuple(after)} of {owners[after]} is below the earlier {tuple(one)}")


def check_pace(history: History, clock_at: Callable[[int], int | None], verdict: Verdict) -> None:
    """Ticks may come late and never early: between two moments there were no more ticks than their time allows."""
    tick = history.run.tick_ms / 1000
    seen = sorted(_timed_clocks(history, clock_at))
    latest, since = float("-inf"), 0
    for index, clock, called_at, returned_at in seen:
        if returned_at - clock * tick + tick < latest:
            verdict.add("expiry", f"the clock ran too fast between index {since} and {index}, where it is {clock}")
        if called_at - clock * tick > latest:
            latest, since = called_at - clock * tick, index


def _timed_clocks(history: History, clock_at: Callable[[int], int | None]) -> Iterator[tuple[int, int, float, float]]:
    for call in history.calls:
        answer = call.answer
        if answer is None or call.is_read or answer.replayed or call.returned_at is None:
            continue
        clock = clock_at(answer.index)
        if clock is not None:
            yield answer.index, clock, call.called_at, call.returned_at
