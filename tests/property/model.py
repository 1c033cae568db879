"""The naive model: a dictionary that says of every unit whose it is, and the rules of the design, one after another.

It has no ranges, no indexes, no caches and no database; it looks at everything, every time. What it answers is what
the state machine must answer.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Command,
    Configure,
    Confirm,
    ExtendHold,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
)
from lastunit_node.statemachine.results import (
    Outcome,
    Parameters,
    Reservation,
    ReservationState,
    Result,
    Shortage,
    StockLevel,
)

from .units import Body, Unit, as_lines, named, numbers, totals, unit_lines

AVAILABLE = "(available)"  # owners that are no reservation's id
REMOVED = "(removed)"
KINDS = {AdjustStock: "adjustment", ReceiveStock: "receipt", ReturnUnits: "return"}
HELD, CONFIRMED, RELEASED, EXPIRED = ReservationState
SAY_IT_ALL = (Outcome.RESERVED, Outcome.CONFIRMED, Outcome.ORDER_PLACED)


@dataclass(frozen=True)
class Remembered:
    """An id: what it was used for, its first answer, and until when that is remembered (None: for good)."""

    body: Body | None
    answer: Result | None
    forget_at: int | None = None


@dataclass(frozen=True)
class Order(Remembered):
    """A reservation; state None: it was refused."""

    state: ReservationState | None = None
    token: FencingToken | None = None
    created_at: int = 0
    expires_at: int = 0
    lines: tuple[Line, ...] = ()
    resolution: Body | None = None
    resolution_answer: Result | None = None


@dataclass(frozen=True)
class At:
    """Where a command stands."""

    token: FencingToken
    late: bool

    def answer(self, outcome: Outcome, **more: Any) -> Result:
        return Result(outcome, self.token.index, **more)


def admit(admitted: dict[str, tuple[str, int]], command: Admit, at: At) -> Result:
    disk, index = admitted.get(command.node, ("", 0))
    if command.replaces != index:
        return at.answer(Outcome.ADMITTED_BEFORE)
    if command.instance != disk:
        admitted[command.node] = command.instance, at.token.index
    return at.answer(Outcome.ADMITTED)


@dataclass
class Model:
    parameters: Parameters
    ranges_a_hold: int = 10
    at_once: int = 64
    ranges_an_order: int = 10_000
    clock: int = 0
    units: dict[Unit, str] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    changes: dict[tuple[str, str], Remembered] = field(default_factory=dict)
    admitted: dict[str, tuple[str, int]] = field(default_factory=dict)  # disk and index, by node

    # Reading.

    def units_of(self, owner: str, sku: str | None = None) -> list[Unit]:
        return sorted(unit for unit, its in self.units.items() if its == owner and sku in (None, unit[0]))

    def skus(self) -> list[str]:
        return sorted({sku for sku, _ in self.units})

    def level(self, sku: str) -> StockLevel:
        owners = [owner for (its, _), owner in self.units.items() if its == sku]
        held = [owner for owner in owners if owner in self.orders and self.orders[owner].state is HELD]
        sold = [owner for owner in owners if owner in self.orders and self.orders[owner].state is CONFIRMED]
        return StockLevel(sku, len(owners), owners.count(AVAILABLE), len(held), len(sold), owners.count(REMOVED))

    def state_of(self, order: Order) -> ReservationState | None:
        return EXPIRED if order.state is HELD and order.expires_at <= self.clock else order.state

    def reservation(self, name: str) -> Reservation | None:
        order = self.orders.get(name)
        state = self.state_of(order) if order else None
        if order is None or state is None:
            return None
        units = () if state is EXPIRED else unit_lines(self.units_of(name))
        return Reservation(name, state, order.token, order.created_at, order.expires_at, order.lines, units)

    def needs_ticks(self) -> bool:
        remembered: list[Remembered] = [*self.orders.values(), *self.changes.values()]
        return any(order.state is HELD for order in self.orders.values()) or any(
            one.forget_at is not None for one in remembered
        )

    # The clock.

    def due(self, sku: str | None = None) -> list[str]:
        names = [name for name, order in self.orders.items() if order.state is HELD and order.expires_at <= self.clock]
        of_sku = [name for name in names if sku is None or self.units_of(name, sku)]
        return sorted(of_sku, key=lambda name: (self.orders[name].expires_at, self.orders[name].token))

    def step(self) -> None:
        self.expire_first(self.due(), self.parameters.sweep_size)
        orders = sorted((one.forget_at, name) for name, one in self.orders.items() if self.is_over(one))
        changes = sorted((one.forget_at, *key) for key, one in self.changes.items() if self.is_over(one))
        for _, name in orders[: self.parameters.sweep_size]:
            del self.orders[name]
        for _, *key in changes[: max(0, self.parameters.sweep_size - len(orders))]:
            del self.changes[key[0], key[1]]

    def is_over(self, one: Remembered) -> bool:
        return one.forget_at is not None and one.forget_at <= self.clock

    def end_of_retention(self) -> int:
        return self.clock + self.parameters.retention_ticks

    def expire_first(self, due: list[str], size: int) -> None:
        """So many, or those up to the one that makes it so many times the ranges of a hold."""
        ranges = 0
        for name in due[:size]:
            if ranges < self.ranges_a_hold * size:
                ranges += sum(len(line.ranges) for line in unit_lines(self.units_of(name)))
                self.expire(name)

    def expire(self, name: str) -> None:
        self.give(self.units_of(name), AVAILABLE)
        self.orders[name] = replace(self.orders[name], state=EXPIRED, forget_at=self.end_of_retention())

    def expire_those(self, names: set[str]) -> int:
        """Those of the due holds that a command has expired which was then postponed; how many they were."""
        expired = [name for name in self.due() if name in names]
        for name in expired:
            self.expire(name)
        return len(expired)

    def give(self, units: list[Unit], owner: str) -> None:
        self.units.update(dict.fromkeys(units, owner))

    # Commands.

    def apply(self, command: Command, at: At) -> Result:
        match command:
            case Tick():
                return self.tick(command, at)
            case Configure():
                return at.answer(Outcome.TOO_LATE if at.late else Outcome.ALREADY_CONFIGURED)
            case Admit():
                return admit(self.admitted, command, at)
            case ReceiveStock() | AdjustStock() | ReturnUnits():
                result = self.change(command, at)
            case _:
                result = self.order(command, at)
        if result.outcome in SAY_IT_ALL and not result.replayed:
            return result  # it says it all
        name = getattr(command, "reservation_id", "")
        return result._replace(reservation=self.reservation(name))

    def tick(self, command: Tick, at: At) -> Result:
        if at.late:
            return at.answer(Outcome.TOO_LATE)
        if command.clock != self.clock or self.due():
            return at.answer(Outcome.CLOCK_MISMATCH)
        self.clock += 1
        self.step()
        return at.answer(Outcome.TICKED)

    def order(self, command: Command, at: At) -> Result:
        match command:
            case Reserve() | PlaceOrder():
                return self.take(command, at)
            case Confirm() | Release() | ExtendHold():
                return self.resolve(command, at)
        raise AssertionError(command)

    def take(self, command: Reserve | PlaceOrder, at: At) -> Result:
        name, wanted = command.reservation_id, totals(command.lines)
        lines = as_lines(wanted)
        body = (type(command), wanted, *command[2:])
        known = self.orders.get(name)
        if known is not None:
            return self.known(known, body, at)
        if at.late:
            return at.answer(Outcome.TOO_LATE)
        refusal = self.refusal(wanted, at)
        if refusal is not None:
            self.orders[name] = Order(body, refusal, self.end_of_retention(), created_at=self.clock, lines=lines)
            return refusal
        taken = [unit for sku, quantity in wanted for unit in self.units_of(AVAILABLE, sku)[:quantity]]
        self.give(taken, name)
        expires_at = self.clock + self.hold_ticks(command) + 1 if isinstance(command, Reserve) else 0
        outcome, state = (Outcome.RESERVED, HELD) if isinstance(command, Reserve) else (Outcome.ORDER_PLACED, CONFIRMED)
        result = at.answer(outcome, token=at.token, expires_at_tick=expires_at, units=unit_lines(taken))
        self.orders[name] = Order(body, result, None, state, at.token, self.clock, expires_at, lines)
        return result

    def hold_ticks(self, command: Reserve) -> int:
        return min(command.hold_ticks or self.parameters.hold_ticks, self.parameters.hold_cap_ticks)

    def known(self, known: Order, body: Body, at: At) -> Result:
        if known.body is None:
            return at.answer(Outcome.ALREADY_RELEASED)
        if known.body != body or known.answer is None:
            return at.answer(Outcome.ID_REUSED)
        return known.answer._replace(replayed=True)

    def refusal(self, wanted: Body, at: At) -> Result | None:
        if any(sku not in self.skus() for sku, _ in wanted):
            return at.answer(Outcome.UNKNOWN_SKU)
        shortages = [shortage for sku, quantity in wanted if (shortage := self.shortage(sku, quantity))]
        if shortages:
            return at.answer(Outcome.OUT_OF_STOCK, shortages=tuple(shortages))
        return at.answer(Outcome.TOO_FRAGMENTED) if self.ranges_of(wanted) > self.ranges_an_order else None

    def ranges_of(self, wanted: Body) -> int:
        taken = [unit for sku, quantity in wanted for unit in self.units_of(AVAILABLE, sku)[:quantity]]
        return sum(len(line.ranges) for line in unit_lines(taken))

    def shortage(self, sku: str, quantity: int) -> Shortage | None:
        while len(self.units_of(AVAILABLE, sku)) < quantity and self.due(sku):
            self.expire(self.due(sku)[0])
        available = len(self.units_of(AVAILABLE, sku))
        return Shortage(sku, quantity, available) if available < quantity else None

    def resolve(self, command: Confirm | Release | ExtendHold, at: At) -> Result:
        name = command.reservation_id
        order = self.orders.get(name)
        if order is None or order.state is None:
            return self.resolve_nothing(command, order, at)
        body = self.resolution(command, order)
        if order.resolution is not None and order.resolution == body and order.resolution_answer is not None:
            return order.resolution_answer._replace(replayed=True)
        if at.late:
            return at.answer(Outcome.TOO_LATE)
        state = self.state_of(order)
        if state is not HELD:
            closed = {CONFIRMED: "ALREADY_CONFIRMED", RELEASED: "ALREADY_RELEASED", EXPIRED: "EXPIRED"}
            return at.answer(Outcome[closed[state or EXPIRED]])
        if command.token != order.token:
            return at.answer(Outcome.STALE_TOKEN)
        if isinstance(command, ExtendHold):
            return self.extend(command, order, at)
        if isinstance(command, Release):
            return self.close(name, order, body, [], at.answer(Outcome.RELEASED))
        return self.confirm(name, order, body, at)

    def resolution(self, command: Confirm | Release | ExtendHold, order: Order) -> Body:
        lines = (totals(command.lines) or totals(order.lines)) if isinstance(command, Confirm) else ()
        return type(command), command.token, lines

    def resolve_nothing(self, command: Confirm | Release | ExtendHold, order: Order | None, at: At) -> Result:
        if at.late:
            return at.answer(Outcome.TOO_LATE)
        if not isinstance(command, Release):
            return at.answer(Outcome.UNKNOWN_RESERVATION)
        unused = Order(None, None, created_at=self.clock)
        body = (Release, command.token, ())
        return self.close(command.reservation_id, order or unused, body, [], at.answer(Outcome.RELEASED))

    def confirm(self, name: str, order: Order, body: Body, at: At) -> Result:
        if any(len(self.units_of(name, sku)) < quantity for sku, quantity in body[2]):
            return at.answer(Outcome.EXCEEDS_HOLD)
        kept = [unit for sku, quantity in body[2] for unit in self.units_of(name, sku)[:quantity]]
        return self.close(name, order, body, kept, at.answer(Outcome.CONFIRMED, units=unit_lines(kept)))

    def close(self, name: str, order: Order, body: Body, kept: list[Unit], result: Result) -> Result:
        self.give([unit for unit in self.units_of(name) if unit not in kept], AVAILABLE)
        confirmed = result.outcome is Outcome.CONFIRMED
        self.orders[name] = replace(
            order,
            state=CONFIRMED if confirmed else RELEASED,
            forget_at=None if confirmed else self.end_of_retention(),
            resolution=body,
            resolution_answer=result,
        )
        return result

    def extend(self, command: ExtendHold, order: Order, at: At) -> Result:
        latest = order.created_at + self.parameters.hold_cap_ticks
        expires_at = max(order.expires_at, min(command.until_tick, latest))
        self.orders[command.reservation_id] = replace(order, expires_at=expires_at)
        return at.answer(Outcome.EXTENDED, expires_at_tick=expires_at)

    def change(self, command: ReceiveStock | AdjustStock | ReturnUnits, at: At) -> Result:
        key = KINDS[type(command)], command[0]
        body = self.change_body(command)
        known = self.changes.get(key)
        if known is not None and known.answer is not None:
            return known.answer._replace(replayed=True) if known.body == body else at.answer(Outcome.ID_REUSED)
        if at.late:
            return at.answer(Outcome.TOO_LATE)
        result = self.new_change(command, at)
        accepted = result.outcome in {Outcome.RECEIVED, Outcome.ADJUSTED, Outcome.RETURNED}
        self.changes[key] = Remembered(body, result, None if accepted else self.end_of_retention())
        return result

    def new_change(self, command: ReceiveStock | AdjustStock | ReturnUnits, at: At) -> Result:
        match command:
            case ReceiveStock():
                return self.receive(command, at)
            case AdjustStock():
                return self.adjust(command, at)
            case ReturnUnits():
                return self.take_back(command, at)

    def change_body(self, command: ReceiveStock | AdjustStock | ReturnUnits) -> Body:
        match command:
            case ReceiveStock():
                return totals(command.lines)
            case AdjustStock():
                return command.sku, command.quantity, numbers(command.sku, command.ranges), command.reason
            case ReturnUnits():
                return command.reservation_id, named(command.lines)

    def receive(self, command: ReceiveStock, at: At) -> Result:
        new = [
            (sku, len([unit for unit in self.units if unit[0] == sku]) + number)
            for sku, quantity in totals(command.lines)
            for number in range(1, quantity + 1)
        ]
        self.give(new, AVAILABLE)
        return at.answer(Outcome.RECEIVED, units=unit_lines(new))

    def adjust(self, command: AdjustStock, at: At) -> Result:
        sku = command.sku
        if sku not in self.skus():
            return at.answer(Outcome.UNKNOWN_SKU)
        if command.quantity:
            shortage = self.shortage(sku, command.quantity)
            if shortage is not None:
                return at.answer(Outcome.OUT_OF_STOCK, shortages=(shortage,))
            if self.ranges_of(((sku, command.quantity),)) > self.ranges_an_order:
                return at.answer(Outcome.TOO_FRAGMENTED)
            removed = self.units_of(AVAILABLE, sku)[: command.quantity]
        else:
            removed = numbers(sku, command.ranges)
            while not set(removed) <= set(self.units_of(AVAILABLE, sku)) and (due := self.due(sku)):
                self.expire_first(due, self.at_once)
            if not set(removed) <= set(self.units_of(AVAILABLE, sku)):
                return at.answer(Outcome.UNITS_NOT_AVAILABLE)
        self.give(removed, REMOVED)
        return at.answer(Outcome.ADJUSTED, units=unit_lines(removed))

    def take_back(self, command: ReturnUnits, at: At) -> Result:
        order = self.orders.get(command.reservation_id)
        if order is None or order.state is None:
            return at.answer(Outcome.UNKNOWN_RESERVATION)
        if order.state is not CONFIRMED:
            return at.answer(Outcome.NOT_CONFIRMED)
        returned = named(command.lines)
        if not set(returned) <= set(self.units_of(command.reservation_id)):
            return at.answer(Outcome.UNITS_NOT_SOLD)
        self.give(returned, AVAILABLE)
        return at.answer(Outcome.RETURNED, units=unit_lines(returned))
