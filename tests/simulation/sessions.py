"""What customers and suppliers do, as generators: they yield a command and get its result, or seconds to wait.

A result of None means that the client gave up on the id: its command may be in the log, or not. Skus are few and
their stock is small, so that everyone wants the same units.
"""

from collections.abc import Callable, Generator
from random import Random
from typing import NamedTuple

from lastunit_node.statemachine.commands import (
    AdjustStock,
    Command,
    Confirm,
    ExtendHold,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    UnitRange,
)
from lastunit_node.statemachine.results import Outcome, Result

SKUS = ("bowl", "cup", "vase")
ZOMBIE = FencingToken(1, 1, 0)

Session = Generator[Command | float, Result | None, None]


class Shopper(NamedTuple):
    """Who acts: a source of chance, and of ids that nobody else uses."""

    rng: Random
    new_id: Callable[[], str]
    hold_ticks: int
    tick_seconds: float

    def lines(self, most: int) -> tuple[Line, ...]:
        count = self.rng.choice([1, 1, 2])
        return tuple(Line(self.rng.choice(SKUS), self.rng.randint(1, most)) for _ in range(count))


def reserve(shopper: Shopper) -> Session:
    """Reserve, think, and then confirm, release, extend or forget about it."""
    rng, order = shopper.rng, shopper.new_id()
    command = Reserve(order, shopper.lines(3), rng.choice([0, 1, shopper.hold_ticks * 2]))
    result = yield command
    if result is None:
        yield Release(order, None)
        return
    if rng.random() < 0.2:
        yield command
    if result.outcome is not Outcome.RESERVED or result.token is None:
        return
    yield rng.uniform(0.0, 1.5) * shopper.hold_ticks * shopper.tick_seconds
    if rng.random() < 0.1:
        yield Confirm(order, ZOMBIE, ())
    if rng.random() < 0.2:
        yield ExtendHold(order, result.token, result.expires_at_tick + rng.randint(0, shopper.hold_ticks))
    yield from close(shopper, order, result)


def close(shopper: Shopper, order: str, held: Result) -> Session:
    """Confirm all or a part, release, or leave it to its expiry; sometimes say so twice."""
    token, rng = held.token or ZOMBIE, shopper.rng
    part = (Line(held.units[0].sku, 1),)
    command = rng.choice(
        [Confirm(order, token, ()), Confirm(order, token, part), Release(order, token), Release(order, token), None]
    )
    if command is None:
        return
    result = yield command
    if rng.random() < 0.2:
        yield command
    if result is not None and result.outcome is Outcome.CONFIRMED:
        yield from send_back(shopper, order, result)


def send_back(shopper: Shopper, order: str, sold: Result) -> Session:
    """Most orders come back in the end: so stock never runs out for good."""
    if shopper.rng.random() < 0.8:
        yield shopper.rng.uniform(0.0, 1.0)
        for line in sold.units:
            yield ReturnUnits(shopper.new_id(), order, (line,))


def place_order(shopper: Shopper) -> Session:
    """Buy at once."""
    order = shopper.new_id()
    command = PlaceOrder(order, shopper.lines(2))
    result = yield command
    if shopper.rng.random() < 0.2:
        yield command
    if result is not None and result.outcome is Outcome.ORDER_PLACED:
        yield from send_back(shopper, order, result)


def supply(shopper: Shopper) -> Session:
    """New units arrive; some are found broken."""
    yield ReceiveStock(shopper.new_id(), (Line(shopper.rng.choice(SKUS), shopper.rng.randint(1, 3)),))
    if shopper.rng.random() < 0.5:
        yield AdjustStock(shopper.new_id(), shopper.rng.choice(SKUS), 1, (), "broken")
    else:
        unit = shopper.rng.randint(1, 20)
        yield AdjustStock(shopper.new_id(), shopper.rng.choice(SKUS), 0, (UnitRange(unit, unit),), "lost")


def open_shop(shopper: Shopper) -> Session:
    """The first stock of all."""
    yield ReceiveStock(shopper.new_id(), tuple(Line(sku, 6) for sku in SKUS))


def draw_session(shopper: Shopper) -> Session:
    kinds = [reserve, reserve, reserve, place_order, supply]
    kind: Callable[[Shopper], Session] = shopper.rng.choices(kinds, [3, 3, 3, 3, 1])[0]
    return kind(shopper)


def ballast(rng: Random) -> Command:
    """A large command that breaks a limit: carried through the log like any other, answered MALFORMED."""
    return Release("x" * rng.choice([1_000, 70_000, 300_000]), None)
