"""The naive model: whose each unit is, and the rules of the design, one after another. Independent of the node's code.

Every value in its tables is immutable and every change is noted, so that what did not fit can be taken back: the
checker tries orders of commands that shared a log entry. The clock moves only when the checker moves it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from chaos.history import Answer, Arguments, Command, Level, Reservation, Run, Token, Units

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")
Numbers = dict[str, tuple[int, ...]]
Body = tuple[object, ...]

CLOSED = {"CONFIRMED": "ALREADY_CONFIRMED", "RELEASED": "ALREADY_RELEASED", "EXPIRED": "EXPIRED"}


@dataclass(frozen=True)
class Order:
    """A reservation, or an id that was refused (state ""). `first` is what its id was answered first."""

    body: Body | None
    first: Answer | None
    state: str = ""
    token: Token | None = None
    created_at: int = 0
    expires_at: int = 0
    lines: tuple[tuple[str, int], ...] = ()
    units: tuple[tuple[str, tuple[int, ...]], ...] = ()
    resolution: Body | None = None
    resolved: Answer | None = None


@dataclass(frozen=True)
class Shelf:
    """One sku: so many units were received; these are available; so many are elsewhere."""

    received: int = 0
    available: frozenset[int] = frozenset()
    held: int = 0
    sold: int = 0
    removed: int = 0


class Model:
    """The inventory. apply() gives the answer that is right at this point of the log."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.orders: dict[str, Order] = {}
        self.shelves: dict[str, Shelf] = {}
        self._changes: dict[tuple[Command, str], tuple[Body, Answer]] = {}
        self._held: dict[str, int] = {}  # id of every open hold, and when it expires
        self._clock: dict[str, int] = {"clock": 0}
        self._notes: list[tuple[dict[Any, Any], Any, Any]] = []

    # Taking back.

    def mark(self) -> int:
        """A point to come back to."""
        return len(self._notes)

    def back_to(self, mark: int) -> None:
        """Undo everything since."""
        while len(self._notes) > mark:
            table, key, before = self._notes.pop()
            if before is None:
                del table[key]
            else:
                table[key] = before

    def forget_notes(self) -> None:
        """What happened so far stays."""
        self._notes.clear()

    def _put(self, table: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
        self._notes.append((table, key, table.get(key)))
        table[key] = value

    def _drop(self, table: dict[KeyT, ValueT], key: KeyT) -> None:
        self._notes.append((table, key, table.pop(key)))

    # The clock.

    @property
    def clock(self) -> int:
        """Ticks so far."""
        return self._clock["clock"]

    def expiries(self, until: int) -> list[int]:
        """The later moments, up to `until`, at which an open hold expires."""
        return sorted({at for at in self._held.values() if self.clock < at <= until})

    def ending(self, until: int) -> list[str]:
        """Open holds that expire by then, if nothing extends them."""
        return [name for name, at in self._held.items() if at <= until]

    def advance(self, clock: int) -> None:
        """Move the clock, and free what expires on the way."""
        self._put(self._clock, "clock", clock)
        for name in [name for name, at in self._held.items() if at <= clock]:
            self._close(name, {}, state="EXPIRED")

    # Reading.

    def level(self, sku: str) -> Level:
        """One sku's stock level."""
        shelf = self.shelves[sku]
        return Level(
            sku=sku,
            received=shelf.received,
            available=len(shelf.available),
            held=shelf.held,
            sold=shelf.sold,
            removed=shelf.removed,
        )

    def reservation(self, name: str) -> Reservation | None:
        """One reservation; None where there is none, also for a refused one."""
        order = self.orders.get(name)
        if order is None or not order.state:
            return None
        return Reservation.model_validate(
            {
                "id": name,
                "state": order.state,
                "token": order.token,
                "created_at_tick": order.created_at,
                "expires_at_tick": order.expires_at,
                "lines": dict(order.lines),
                "units": as_units(dict(order.units)),
            }
        )

    # Commands.

    def apply(self, command: Command, given: Arguments, index: int, token: Token | None) -> Answer:
        """Apply one command at an index. `token`: its place in the log, where the history tells it."""
        blank = Answer(index=index, applied_index=0)
        match command:
            case "reserve" | "place":
                answer = self._take(command, given, blank, token)
            case "confirm" | "release" | "extend":
                answer = self._resolve(command, given, blank)
            case _:
                answer = self._change(command, given, blank)
        name = given.reservation_id if command == "return" else given.id
        shown = None if command in {"receive", "adjust"} else self.reservation(name)
        return answer.model_copy(update={"reservation": shown})

    def _take(self, command: Command, given: Arguments, blank: Answer, token: Token | None) -> Answer:
        body: Body = (command, tuple(sorted(given.lines.items())), given.hold_ticks)
        known = self.orders.get(given.id)
        if known is not None:
            return again(known.body, known.first, body, blank, unused="ALREADY_RELEASED")
        refusal = self._refusal(given.lines, blank)
        if refusal is not None:
            lines = tuple(sorted(given.lines.items()))
            self._put(self.orders, given.id, Order(body, refusal, created_at=self.clock, lines=lines))
            return refusal
        taken = {sku: self._lowest(sku, quantity) for sku, quantity in sorted(given.lines.items())}
        is_hold = command == "reserve"
        expires_at = self.clock + self._hold_ticks(given) + 1 if is_hold else 0
        told = {"outcome": "RESERVED" if is_hold else "ORDER_PLACED", "token": token, "expires_at_tick": expires_at}
        answer = blank.model_copy(update={**told, "units": as_units(taken)})
        order = Order(body, answer, "HELD" if is_hold else "CONFIRMED", token, self.clock, expires_at)
        self._put(self.orders, given.id, replace(order, lines=tuple(sorted(given.lines.items())), units=frozen(taken)))
        for sku, numbers in taken.items():
            self._move(sku, numbers, available=-1, **{"held" if is_hold else "sold": 1})
        if is_hold:
            self._put(self._held, given.id, expires_at)
        return answer

    def _hold_ticks(self, given: Arguments) -> int:
        return min(given.hold_ticks or self._run.hold_ticks, self._run.hold_cap_ticks)

    def _refusal(self, lines: Mapping[str, int], blank: Answer) -> Answer | None:
        if any(sku not in self.shelves for sku in lines):
            return outcome(blank, "UNKNOWN_SKU")
        short = [
            (sku, quantity, len(self.shelves[sku].available))
            for sku, quantity in sorted(lines.items())
            if quantity > len(self.shelves[sku].available)
        ]
        return outcome(blank, "OUT_OF_STOCK", shortages=tuple(short)) if short else None

    def _resolve(self, command: Command, given: Arguments, blank: Answer) -> Answer:
        order = self.orders.get(given.id)
        if order is None or not order.state:
            return self._resolve_nothing(command, given, order, blank)
        body: Body = (command, given.token, tuple(sorted(given.lines.items())) or order.lines)
        if order.resolution == body and order.resolved is not None:
            return order.resolved.model_copy(update={"replayed": True})
        if order.state != "HELD":
            return outcome(blank, CLOSED[order.state])
        if given.token != order.token:
            return outcome(blank, "STALE_TOKEN")
        if command == "extend":
            return self._extend(given, order, blank)
        if command == "release":
            return self._settle(given.id, {}, body, "RELEASED", outcome(blank, "RELEASED"))
        return self._confirm(given, order, body, blank)

    def _resolve_nothing(self, command: Command, given: Arguments, order: Order | None, blank: Answer) -> Answer:
        if command != "release":
            return outcome(blank, "UNKNOWN_RESERVATION")
        answer = outcome(blank, "RELEASED")
        body: Body = ("release", given.token, ())
        unused = order or Order(None, None)
        created = order.created_at if order else self.clock
        released = replace(unused, state="RELEASED", created_at=created, resolution=body, resolved=answer)
        self._put(self.orders, given.id, released)
        return answer

    def _confirm(self, given: Arguments, order: Order, body: Body, blank: Answer) -> Answer:
        units = dict(order.units)
        wanted = given.lines or dict(order.lines)
        if any(len(units.get(sku, ())) < quantity for sku, quantity in wanted.items()):
            return outcome(blank, "EXCEEDS_HOLD")
        kept = {sku: units[sku][:quantity] for sku, quantity in sorted(wanted.items())}
        return self._settle(given.id, kept, body, "CONFIRMED", outcome(blank, "CONFIRMED", units=as_units(kept)))

    def _settle(self, name: str, kept: Numbers, body: Body, state: str, answer: Answer) -> Answer:
        self._close(name, kept, state=state, resolution=body, resolved=answer)
        return answer

    def _close(self, name: str, kept: Numbers, **changes: Any) -> None:
        """End a hold: the kept units are sold, the others available."""
        order = self.orders[name]
        for sku, numbers in order.units:
            freed = tuple(number for number in numbers if number not in kept.get(sku, ()))
            self._move(sku, freed, held=-1, available=1)
            self._move(sku, kept.get(sku, ()), held=-1, sold=1)
        self._put(self.orders, name, replace(order, units=frozen(kept), **changes))
        self._drop(self._held, name)

    def _extend(self, given: Arguments, order: Order, blank: Answer) -> Answer:
        latest = order.created_at + self._run.hold_cap_ticks
        expires_at = max(order.expires_at, min(given.until_tick, latest))
        self._put(self.orders, given.id, replace(order, expires_at=expires_at))
        self._put(self._held, given.id, expires_at)
        return outcome(blank, "EXTENDED", expires_at_tick=expires_at)

    def _change(self, command: Command, given: Arguments, blank: Answer) -> Answer:
        body: Body = (given.model_dump_json(),)
        known = self._changes.get((command, given.id))
        if known is not None:
            return again(known[0], known[1], body, blank)
        make = {"receive": self._receive, "adjust": self._adjust, "return": self._take_back}[command]
        answer = make(given, blank)
        self._put(self._changes, (command, given.id), (body, answer))
        return answer

    def _receive(self, given: Arguments, blank: Answer) -> Answer:
        new: Numbers = {}
        for sku, quantity in sorted(given.lines.items()):
            shelf = self.shelves.get(sku, Shelf())
            new[sku] = tuple(range(shelf.received + 1, shelf.received + quantity + 1))
            self._put(self.shelves, sku, replace(shelf, received=shelf.received + quantity))
            self._move(sku, new[sku], available=1)
        return outcome(blank, "RECEIVED", units=as_units(new))

    def _adjust(self, given: Arguments, blank: Answer) -> Answer:
        refusal = self._refusal({given.sku: given.quantity}, blank)
        if refusal is not None:
            return refusal
        removed = self._lowest(given.sku, given.quantity)
        self._move(given.sku, removed, available=-1, removed=1)
        return outcome(blank, "ADJUSTED", units=as_units({given.sku: removed}))

    def _take_back(self, given: Arguments, blank: Answer) -> Answer:
        order = self.orders.get(given.reservation_id)
        if order is None or not order.state:
            return outcome(blank, "UNKNOWN_RESERVATION")
        if order.state != "CONFIRMED":
            return outcome(blank, "NOT_CONFIRMED")
        returned, units = as_numbers(given.units), dict(order.units)
        if any(not set(numbers) <= set(units.get(sku, ())) for sku, numbers in returned.items()):
            return outcome(blank, "UNITS_NOT_SOLD")
        for sku, numbers in returned.items():
            units[sku] = tuple(number for number in units[sku] if number not in numbers)
            self._move(sku, numbers, sold=-1, available=1)
        self._put(self.orders, given.reservation_id, replace(order, units=frozen(units)))
        return outcome(blank, "RETURNED", units=as_units(returned))

    def _lowest(self, sku: str, quantity: int) -> tuple[int, ...]:
        return tuple(sorted(self.shelves[sku].available)[:quantity])

    def _move(self, sku: str, numbers: Iterable[int], available: int = 0, **counts: int) -> None:
        """Move units of one sku; each argument says whether they leave (-1) or join (+1) a place."""
        units = frozenset(numbers)
        shelf = self.shelves[sku]
        joined = {-1: shelf.available - units, 0: shelf.available, 1: shelf.available | units}[available]
        moved = {place: getattr(shelf, place) + sign * len(units) for place, sign in counts.items()}
        self._put(self.shelves, sku, replace(shelf, available=joined, **moved))


def outcome(blank: Answer, word: str, **more: Any) -> Answer:
    """An answer in one word."""
    return blank.model_copy(update={"outcome": word, **more})


def again(known: Body | None, first: Answer | None, body: Body, blank: Answer, unused: str = "") -> Answer:
    """The answer to an id that was used before."""
    if known is None or first is None:
        return outcome(blank, unused)
    return first.model_copy(update={"replayed": True}) if known == body else outcome(blank, "ID_REUSED")


def frozen(units: Numbers) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Units by sku, without skus that have none."""
    return tuple(sorted((sku, numbers) for sku, numbers in units.items() if numbers))


def as_units(units: Mapping[str, Iterable[int]]) -> Units:
    """Unit numbers as ranges."""
    return {sku: ranges for sku, numbers in sorted(units.items()) if (ranges := as_ranges(set(numbers)))}


def as_ranges(numbers: set[int]) -> tuple[tuple[int, int], ...]:
    """Ascending ranges, as few as there can be."""
    firsts = sorted(number for number in numbers if number - 1 not in numbers)
    lasts = sorted(number for number in numbers if number + 1 not in numbers)
    return tuple(zip(firsts, lasts, strict=True))


def as_numbers(units: Units) -> Numbers:
    """Ranges as unit numbers."""
    return {sku: tuple(n for first, last in ranges for n in range(first, last + 1)) for sku, ranges in units.items()}
