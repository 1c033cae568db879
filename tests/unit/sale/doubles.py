"""Doubles of the sale's surroundings: an inventory in a dict, nodes in a list, time that does not pass."""

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from lastunit_client import (
    CommandResult,
    FencingToken,
    LastUnitError,
    Line,
    Lines,
    Outcome,
    Reservation,
    ReservationState,
    StockLevel,
    UnitLine,
    UnitRange,
)
from lastunit_node.cli.sale.chaos import Leader
from lastunit_node.cli.sale.plan import SKU


def units_of(sku: str, *numbers: int) -> tuple[UnitLine, ...]:
    return (UnitLine(sku, tuple(UnitRange(number, number) for number in numbers)),) if numbers else ()


class FakeInventory:
    """One unit a reservation, no network. Set `deaf_to` to have a call of that name end without an answer."""

    def __init__(self) -> None:
        self.received: dict[str, int] = {}
        self.reservations: dict[str, Reservation] = {}
        self.clock = 0
        self.calls: list[tuple[str, str]] = []
        self.deaf_to = ""
        self.confirms_answer: Outcome | None = None
        self._indexes = count(1)

    async def reserve(self, lines: Lines, *, reservation_id: str, hold_ticks: int = 0) -> CommandResult:
        index = self._called("reserve", reservation_id)
        assert isinstance(lines, Mapping)
        sku = next(iter(lines))
        free = sorted(set(range(1, self.received[sku] + 1)) - self._taken(sku))
        if not free:
            return self._result(reservation_id, Outcome.OUT_OF_STOCK, index)
        reservation = Reservation(
            reservation_id,
            ReservationState.HELD,
            FencingToken(1, index, 0),
            self.clock,
            self.clock + (hold_ticks or 1000) + 1,
            (Line(sku, 1),),
            units_of(sku, free[0]),
            index,
        )
        self.reservations[reservation_id] = reservation
        return self._result(reservation_id, Outcome.RESERVED, index)

    async def confirm(self, reservation_id: str, token: FencingToken) -> CommandResult:
        index = self._called("confirm", reservation_id)
        if self.confirms_answer is not None:
            answer, self.confirms_answer = self.confirms_answer, None
            self._settle(reservation_id, ReservationState.EXPIRED)
            return self._result(reservation_id, answer, index)
        if self.reservations[reservation_id].expires_at_tick <= self.clock:
            return self._result(reservation_id, Outcome.EXPIRED, index)
        self._settle(reservation_id, ReservationState.CONFIRMED)
        return self._result(reservation_id, Outcome.CONFIRMED, index)

    async def release(self, reservation_id: str, token: FencingToken) -> CommandResult:
        index = self._called("release", reservation_id)
        self._settle(reservation_id, ReservationState.RELEASED)
        return self._result(reservation_id, Outcome.RELEASED, index)

    async def get_stock(self, sku: str) -> StockLevel:
        index = self._called("get_stock", sku)
        alive = [one.state for one in self.reservations.values() if one.lines[0].sku == sku and self.is_alive(one)]
        sold, held = alive.count(ReservationState.CONFIRMED), alive.count(ReservationState.HELD)
        return StockLevel(sku, self.received[sku], self.received[sku] - sold - held, held, sold, 0, index)

    async def tell_clock(self) -> int:
        """Ticks once whenever it is looked at."""
        self.clock += 1
        return self.clock

    def _called(self, call: str, name: str) -> int:
        if call == self.deaf_to:
            raise LastUnitError(f"{call} got no answer", definite=False)
        self.calls.append((call, name))
        return next(self._indexes)

    def _taken(self, sku: str) -> set[int]:
        alive = [order for order in self.reservations.values() if self.is_alive(order)]
        return {number for order in alive for line in order.units if line.sku == sku for number in line.numbers()}

    def is_alive(self, order: Reservation) -> bool:
        held = order.state is ReservationState.HELD and order.expires_at_tick > self.clock
        return held or order.state is ReservationState.CONFIRMED

    def _settle(self, reservation_id: str, state: ReservationState) -> None:
        self.reservations[reservation_id] = replace(self.reservations[reservation_id], state=state)

    def _result(self, reservation_id: str, outcome: Outcome, index: int) -> CommandResult:
        order = self.reservations.get(reservation_id)
        token = order.token if order and outcome is Outcome.RESERVED else None
        expires = order.expires_at_tick if order and outcome is Outcome.RESERVED else 0
        units = order.units if order and outcome.accepted else ()
        return CommandResult(reservation_id, outcome, False, index, index, token, expires, units, (), order)


class FakeNodes:
    """Nodes that only say what was done to them. The node after the leader leads when the leader is killed."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.log: list[str] = []
        self._leader = Leader(names[0], 1)

    async def leader(self, after_term: int = 0) -> Leader:
        assert self._leader.term > after_term
        return self._leader

    async def kill(self, node: str) -> int:
        self.log.append(f"kill {node}")
        self._leader = Leader(self.names[(self.names.index(node) + 1) % len(self.names)], self._leader.term + 1)
        return 4711

    async def start(self, node: str) -> int:
        self.log.append(f"start {node}")
        return 17

    async def pause(self, node: str) -> None:
        self.log.append(f"pause {node}")

    async def resume(self, node: str) -> None:
        self.log.append(f"resume {node}")


class NoDelay(random.Random):
    """Draws the least of everything, which for a delay is none."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def order_on_record(name: str, index: int, state: ReservationState, unit: int, sku: str = SKU) -> Reservation:
    units = units_of(sku, unit) if state is ReservationState.CONFIRMED else ()
    return Reservation(name, state, FencingToken(2, index, 0), 0, 100, (Line(sku, 1),), units, 0)
