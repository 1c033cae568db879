"""Plays the answers through the naive model in the order of the log, and compares every one.

The history does not tell everything: commands that shared an entry have no order but that of their tokens, so orders
are tried until one explains all answers (only those that touch the same skus matter to each other); and where nothing
tells the clock exactly, it is moved no further than the answers ask for. A command that was never answered, not even
when it was repeated, may stand anywhere after its call, or nowhere: it is put in where an answer asks for it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from chaos.clocks import FOREVER, Clocks
from chaos.history import Answer, Call, History, Level, Reservation
from chaos.model import Model, as_numbers
from chaos.verdict import Verdict, Violation, is_accepted

MOST_TRIES = 20_000  # for the commands of one entry
BRIEF = frozenset({"RESERVED", "CONFIRMED", "ORDER_PLACED"})  # first answers that have no reservation beside them


class Extensions:
    """Calls that extend a hold. Each may have had its effect earlier than where its answer stands.

    A node that sees no result of its first try proposes the command again, and an extension is never remembered: the
    answer, if one comes, is that of the last try.
    """

    def __init__(self, history: History) -> None:
        self._calls: dict[str, list[Call]] = defaultdict(list)
        for call in history.calls:
            if call.command == "extend" and call.came_to in {"answered", "unknown"}:
                self._calls[call.arguments.id].append(call)
        ended = [(call.answer.index, call.returned_at) for call in history.calls if call.answer and call.returned_at]
        self._indexes: list[int] = []
        self._earliest: list[float] = []  # that anybody was shown this index or a later one
        for index, returned_at in sorted(ended, reverse=True):
            self._indexes.append(-index)
            self._earliest.append(min(returned_at, self._earliest[-1] if self._earliest else returned_at))

    def begun_before(self, name: str, index: int) -> list[Call]:
        """Extensions of a hold that may have been under way when the log came to index."""
        calls = self._calls.get(name, [])
        at = bisect_right(self._indexes, -index) - 1
        return [call for call in calls if at < 0 or call.called_at < self._earliest[at]]


@dataclass(frozen=True)
class Step:
    """One command at its place in the log, with what it was answered there."""

    call: Call
    answer: Answer

    @property
    def position(self) -> int | None:
        """Where it stands in its entry, if its answer tells."""
        return self.answer.token.position if self.answer.token else None


class Replay:
    """One pass over a history. `model` has the state after the last step that was played."""

    def __init__(self, history: History, clocks: Clocks, verdict: Verdict) -> None:
        self.model = Model(history.run)
        self._history = history
        self._clocks = clocks
        self._verdict = verdict
        self._tries = 0
        self._misfit: Violation | None = None
        self._final_expiry = {one.id: one.expires_at_tick for state in history.states for one in state.reservations}
        self._open = unanswered(history)
        self._extensions = Extensions(history)

    def run(self) -> bool:
        """Play everything; False, with a violation, at the first answer that does not fit."""
        entries, reads = steps_of(self._history, self._verdict), reads_of(self._history)
        for step in self._found():
            entries[step.answer.index].append(step)
        for index in sorted({*entries, *reads}):
            for part in (entries.get(index, []), *([read] for read in reads.get(index, []))):
                if not self._fits(index, part):
                    return False
        self._advance(FOREVER)
        return True

    def _found(self) -> list[Step]:
        """Orders that nobody was answered, at the place that their tokens tell in the final state."""
        tokens = {one.id: one.token for state in self._history.states for one in state.reservations}
        found = []
        for call in [call for call in self._open if call.command in {"reserve", "place"}]:
            token = tokens.get(call.arguments.id)
            if token is not None:
                self._open.remove(call)
                found.append(Step(call, Answer(index=token.log_index, applied_index=0, token=token)))
        return found

    # The clock.

    def _fits(self, index: int, steps: list[Step]) -> bool:
        """Find a clock and an order of the steps (or the one read) that explain them."""
        self.model.forget_notes()
        first: Violation | None = None
        start = max(self.model.clock, self._clocks.least(index))
        most = self._clocks.most(index)
        later = {self._final_expiry.get(name, 0) for name in self.model.ending(most)}
        for clock in (start, *sorted({*self.model.expiries(most), *(end for end in later if end <= most)})):
            if clock < start:
                continue
            mark = self.model.mark()
            self._advance(clock, index)
            self._tries = MOST_TRIES
            if all(self._explain(part) for part in self._apart(steps)):
                return True
            self.model.back_to(mark)
            first = first or self._misfit
        assert first is not None
        self._verdict.add(*first)
        return False

    def _advance(self, clock: int, index: int = FOREVER) -> None:
        """Move the clock; `index` is where the log stands."""
        for name in self.model.ending(clock):
            self._extend(name, index)
        self.model.advance(clock)

    def _extend(self, name: str, index: int) -> None:
        """Before a hold ends: an extension that nobody was answered, but shows in the final state, had its effect."""
        for call in self._extensions.begun_before(name, index):
            order = self.model.orders.get(name)
            if order and order.state == "HELD" and order.expires_at < self._final_expiry.get(name, 0):
                self.model.apply("extend", call.arguments, 0, None)

    # One entry.

    def _apart(self, steps: list[Step]) -> Iterator[list[Step]]:
        """Steps that touch no common sku or id cannot disturb each other."""
        groups: list[tuple[set[str], list[Step]]] = []
        for step in steps:
            keys, together = self._touches(step.call), [step]
            for group in [group for group in groups if group[0] & keys]:
                groups.remove(group)
                keys, together = keys | group[0], group[1] + together
            groups.append((keys, together))
        return (together for _, together in groups)

    def _touches(self, call: Call) -> set[str]:
        given = call.arguments
        keys = {f"id {given.id}", f"id {given.reservation_id}"} - {"id "}
        order = self.model.orders.get(given.reservation_id or given.id)
        skus = {*given.lines, *given.units, given.sku, *(sku for sku, _ in (order.lines if order else ()))}
        return keys | {f"sku {sku}" for sku in skus - {""}}

    def _explain(self, steps: list[Step]) -> bool:
        """Find an order; where there is none, with one unanswered command before it."""
        if self._order(steps):
            return True
        misfit, keys = self._misfit, set().union(*(self._touches(step.call) for step in steps))
        latest = max(step.call.returned_at or 0.0 for step in steps)
        for call in [call for call in self._open if call.called_at < latest and self._touches(call) & keys]:
            mark = self.model.mark()
            self.model.apply(call.command, call.arguments, steps[0].answer.index, None)
            if self._order(steps):
                self._open.remove(call)
                return True
            self.model.back_to(mark)
        self._misfit = misfit
        return False

    def _order(self, steps: list[Step]) -> bool:
        if not steps:
            return True
        for step in _next_ones(steps):
            self._tries -= 1
            if self._tries < 0:
                return False
            mark = self.model.mark()
            misfit = self._play(step)
            if misfit is None and self._order([other for other in steps if other is not step]):
                return True
            self._misfit = misfit or self._misfit
            self.model.back_to(mark)
        return False

    def _play(self, step: Step) -> Violation | None:
        """Apply one step; what does not fit, if anything."""
        call, told = step.call, step.answer
        if call.command == "get_stock":
            return self._differs(call, told.level, self._level(call))
        if call.command == "get_reservation":
            return self._differs(call, shown(told.reservation), shown(self.model.reservation(call.arguments.id)))
        if told.outcome in {"CONFIRMED", "RELEASED"}:
            self._extend(call.arguments.id, told.index)
        right = self.model.apply(call.command, call.arguments, told.index, told.token)
        if right.replayed:
            same = told.replayed and right.index == told.index
            words = f"{call} took effect, though the same call had at index {right.index} before"
            return None if same else Violation("twice", words)
        if not told.outcome:
            return None if is_accepted(right.outcome) else _misfit(call, "outcome", told, right)
        for name in ("outcome", "units", "shortages", "expires_at_tick"):
            if getattr(told, name) != getattr(right, name):
                return self._owner(step) or self._expiry(step, right) or _misfit(call, name, told, right)
        unseen = told.replayed or (told.reservation is None and right.outcome in BRIEF)
        return None if unseen else self._differs(call, shown(told.reservation), shown(right.reservation))

    def _level(self, call: Call) -> Level | None:
        sku = call.arguments.sku
        return self.model.level(sku) if sku in self.model.shelves else None

    def _differs(
        self, call: Call, told: Level | Reservation | None, right: Level | Reservation | None
    ) -> Violation | None:
        if told == right:
            return None
        how = "was shown" if call.is_read else "was told"
        return Violation("answer", f"{call} {how} {told!r}; by the log it is {right!r} (clock {self.model.clock})")

    def _owner(self, step: Step) -> Violation | None:
        """Say so when a unit was given that somebody else has."""
        if step.answer.outcome not in {"RESERVED", "ORDER_PLACED"}:
            return None
        given = {(sku, number) for sku, numbers in as_numbers(step.answer.units).items() for number in numbers}
        for name, order in self.model.orders.items():
            common = given & {(sku, number) for sku, numbers in order.units for number in numbers}
            if common and name != step.call.arguments.id:
                sku, number = min(common)
                words = f"{step.call} was given {sku} #{number}, which {name} has ({order.state})"
                return Violation("duplicate_units", words)
        return None

    def _expiry(self, step: Step, right: Answer) -> Violation | None:
        """Say so when a hold was ended early, or lived on."""
        order = self.model.orders.get(step.call.arguments.id)
        if order is None or (step.answer.outcome == "EXPIRED") == (right.outcome == "EXPIRED"):
            return None
        most = self._clocks.most(step.answer.index)
        between = f"the clock was {self.model.clock} to {'?' if most == FOREVER else most}"
        return Violation("expiry", f"{step.call}: the hold expires at tick {order.expires_at}, and {between}")


def _misfit(call: Call, name: str, told: Answer, right: Answer) -> Violation:
    words = f"{call}: {name} was {getattr(told, name)!r}, the log gives {getattr(right, name)!r}"
    return Violation("answer", words)


def shown(reservation: Reservation | None) -> Reservation | None:
    """What can be compared: nothing tells exactly when an id without a hold was closed."""
    if reservation is None or reservation.token is not None:
        return reservation
    return reservation.model_copy(update={"created_at_tick": 0})


def _next_ones(steps: list[Step]) -> Iterator[Step]:
    """Which of them may come next: any, but those with tokens in the order of these."""
    placed = min((step.position for step in steps if step.position is not None), default=None)
    return (step for step in steps if step.position in {None, placed})


Key = tuple[str, str]


def key_of(call: Call) -> Key:
    """Equal for calls that are one and the same command."""
    return call.command, call.arguments.model_dump_json(exclude_defaults=True)


def steps_of(history: History, verdict: Verdict) -> dict[int, list[Step]]:
    """What stands in the log, by index. A replay stands there only when the first answer reached nobody."""
    entries: dict[int, list[Step]] = defaultdict(list)
    firsts: dict[tuple[Key, int], Step] = {}
    for replayed in (False, True):
        for call in history.calls:
            answer = call.answer
            if answer is None or call.is_read or answer.replayed is not replayed:
                continue
            step = Step(call, answer)
            first = firsts.setdefault((key_of(call), answer.index), step)
            if first is step or not replayed:
                entries[answer.index].append(step)
            elif first.answer.first_answer() != answer.first_answer():
                verdict.add("answer", f"{call} does not repeat the first answer, which was {first.answer!r}")
    return entries


def reads_of(history: History) -> dict[int, list[Step]]:
    """Answered reads by the index of their snapshot."""
    reads: dict[int, list[Step]] = defaultdict(list)
    for call in history.calls:
        if call.is_read and call.answer is not None:
            reads[call.answer.index].append(Step(call, call.answer))
    return reads


def unanswered(history: History) -> list[Call]:
    """One call of every command that may have taken effect and was never answered.

    An extension is never remembered: that it was answered later does not say that it had no effect before.
    """
    answered = {key_of(call) for call in history.calls if call.answer is not None and call.command != "extend"}
    unknown = {key_of(call): call for call in history.calls if call.came_to == "unknown" and not call.is_read}
    return [call for key, call in unknown.items() if key not in answered]
