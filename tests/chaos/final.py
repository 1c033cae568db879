"""The end of a run: what nodes have must be what was acknowledged, once, and no more than there is."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.history import Call, History, Level, Reservation, State
from chaos.model import Model, as_numbers
from chaos.replay import key_of, shown, unanswered
from chaos.verdict import Verdict, is_accepted

ENDS_AS = {"ORDER_PLACED": "CONFIRMED", "CONFIRMED": "CONFIRMED", "RELEASED": "RELEASED"}


def check_final(history: History, verdict: Verdict) -> None:
    """Everything that needs no model."""
    hashes = {node: text for state in history.states for node, text in state.hashes.items()}
    if not history.states:
        verdict.add("state", "no node's final state was read")
    if len(history.states) > 1 or len(set(hashes.values())) > 1:
        verdict.add("state", f"nodes end with different states: {hashes}")
    for node in set(history.run.nodes) - set(hashes):
        verdict.add("state", f"the final state of {node} was not read")
    for state in history.states:
        _check_acknowledged(history, state, verdict)
        _check_definite(history, state, verdict)
        _check_units(state, verdict)
        _check_repeats(history, state, verdict)
    _check_once(history, verdict)
    for call in history.calls:
        if call.returned_at is None:
            verdict.add("unended", f"{call} never ended")


def compare_final(history: History, model: Model, verdict: Verdict) -> None:
    """The whole state, row by row, against the model after the last answer."""
    for state in history.states[:1]:
        names = {one.id: shown(one) for one in state.reservations}
        for name in sorted({*names, *(name for name, order in model.orders.items() if order.state)}):
            right = shown(model.reservation(name))
            if names.get(name) != right:
                verdict.add("state", f"reservation {name} is {names.get(name)!r}; by the answers it is {right!r}")
        levels = {level.sku: level for level in state.stock}
        for sku in sorted({*levels, *model.shelves}):
            expected = model.level(sku) if sku in model.shelves else None
            if levels.get(sku) != expected:
                verdict.add("state", f"the level of {sku} is {levels.get(sku)!r}; by the answers it is {expected!r}")


def _check_acknowledged(history: History, state: State, verdict: Verdict) -> None:
    """What was accepted is there. A hold may have ended since, an order may not."""
    reservations = {one.id: one for one in state.reservations}
    for call in _accepted(history, {"reserve", "place", "confirm", "release"}):
        assert call.answer is not None
        there = reservations.get(call.arguments.id)
        if there is None:
            verdict.add("lost", f"{call} was acknowledged; in the end there is no such reservation")
        elif there.state != ENDS_AS.get(call.answer.outcome, there.state):
            verdict.add("lost", f"{call} was acknowledged; in the end it is {there.state}")
        elif call.answer.token is not None and there.token != call.answer.token:
            verdict.add("lost", f"{call} was acknowledged; in the end its token is {there.token}")
    _check_received(history, state, verdict)


def _check_repeats(history: History, state: State, verdict: Verdict) -> None:
    """What a repeat shows beside the first answer, as far as nobody needs to know when: an end is for good."""
    reservations = {one.id: one for one in state.reservations}
    for call in history.calls:
        told = call.answer and call.answer.replayed and call.answer.reservation
        right = told and reservations.get(told.id)
        if not told or not right:
            continue
        is_end = told.state in {"HELD", right.state}
        if not is_end or (told.token, told.lines) != (right.token, right.lines):
            verdict.add("answer", f"{call} was shown {told!r}; in the end it is {right!r}")


def _check_received(history: History, state: State, verdict: Verdict) -> None:
    """Units received are those of the acknowledged receipts; of those in doubt, some more."""
    least, most = Counter[str](), Counter[str]()
    receipts = {call.arguments.id: call for call in _accepted(history, {"receive"})}
    doubtful = [call for call in unanswered(history) if call.command == "receive"]
    for call in receipts.values():
        least.update(call.arguments.lines)
    for call in [*receipts.values(), *doubtful]:
        most.update(call.arguments.lines)
    received = Counter({level.sku: level.received for level in state.stock})
    for sku in sorted({*most, *received}):
        if received[sku] < least[sku]:
            verdict.add("lost", f"{least[sku]} units of {sku} were acknowledged as received; {received[sku]} are there")
        if received[sku] > most[sku]:
            verdict.add("twice", f"at most {most[sku]} units of {sku} were received; {received[sku]} are there")


def _check_definite(history: History, state: State, verdict: Verdict) -> None:
    """An id of which every call certainly was not applied must not be there."""
    fates: dict[str, set[str]] = defaultdict(set)
    for call in history.calls:
        if call.command in {"reserve", "place", "release"}:
            fates[call.arguments.id].add(call.came_to)
    for one in state.reservations:
        if fates[one.id] == {"not_applied"}:
            verdict.add("definite", f"{one.id} was certainly not applied, as its caller was told; it is {one.state}")
        elif not fates[one.id]:
            verdict.add("state", f"nobody asked for {one.id}, which is {one.state}")


def _check_once(history: History, verdict: Verdict) -> None:
    """One command has one place in the log, and one id one reservation."""
    places: dict[tuple[str, str], int] = {}
    for call in _accepted(history, {"reserve", "place", "confirm", "release", "receive", "adjust", "return"}):
        assert call.answer is not None
        place = places.setdefault(key_of(call), call.answer.index)
        if place != call.answer.index:
            verdict.add("twice", f"{call} took effect, though the same call had at index {place} already")


def _check_units(state: State, verdict: Verdict) -> None:
    """No unit has two owners; no sku has more units with owners than it has units; nothing is negative."""
    owners: dict[tuple[str, int], Reservation] = {}
    taken = Counter[str]()
    for one in state.reservations:
        for sku, number in _units(one):
            taken[sku] += 1
            owner = owners.setdefault((sku, number), one)
            if owner is not one:
                verdict.add("duplicate_units", f"{sku} #{number} is both {owner.id}'s and {one.id}'s")
    for level in state.stock:
        if level.received != level.available + level.held + level.sold + level.removed or min(_places(level)) < 0:
            verdict.add("state", f"units of {level.sku} came from nowhere or went there: {level!r}")
        if taken[level.sku] > level.received - level.removed:
            verdict.add("oversold", f"{taken[level.sku]} units of {level.sku} have owners, of {level!r}")
        if taken[level.sku] != level.held + level.sold:
            verdict.add(
                "state", f"{taken[level.sku]} units of {level.sku} have owners, which its level denies: {level!r}"
            )


def _places(level: Level) -> tuple[int, ...]:
    return level.received, level.available, level.held, level.sold, level.removed


def _units(one: Reservation) -> Iterator[tuple[str, int]]:
    return ((sku, number) for sku, numbers in as_numbers(one.units).items() for number in numbers)


def _accepted(history: History, commands: set[str]) -> list[Call]:
    return [
        call for call in history.calls if call.command in commands and call.answer and is_accepted(call.answer.outcome)
    ]
