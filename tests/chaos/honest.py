"""An honest history, made without a cluster: the node's own state machine behind a pretended network.

Clients call, commands wait, entries of several commands are applied, answers arrive or get lost; what is lost is asked
again in the end. The clock ticks between. It serves to show that the checker accepts what is right, and as a ground
for histories that are doctored.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from unit.statemachine.shop import memory_database

from chaos.history import Answer, Arguments, Call, Command, History, Level, Reservation, Run, State, Token, Units
from lastunit_node.statemachine import commands as log
from lastunit_node.statemachine import results
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.queries import SqliteSnapshot

NODES = ("n1", "n2", "n3")
SKUS = ("vase", "mug", "bowl")
TICK_MS = 100
CAP_TICKS = 30
ENTRY_S = 0.25  # time from one entry to the next; a tick may stand between
RECENT = 60  # calls: what is picked up again is so young


@dataclass
class Waiting:
    """A call whose command is not in the log yet."""

    client: str
    command: Command
    arguments: Arguments
    called_at: float


class HonestCluster:
    """One log, and clients who write down what they are told."""

    def __init__(self, seed: int, *, tries_twice: bool = False) -> None:
        """tries_twice: some extensions have their effect in a try that the node which is asked never hears of."""
        self._rng = random.Random(seed)
        self._tries_twice = tries_twice
        self._connection = memory_database()
        self._machine = StateMachine(self._connection)
        self._now = 0.0
        self._term = 1
        self.history = History(Run(seed=seed, nodes=NODES, tick_ms=TICK_MS, hold_ticks=4, hold_cap_ticks=CAP_TICKS))
        self._apply(log.Configure(TICK_MS, 4, CAP_TICKS, 100_000, 500))

    def run(self, entries: int) -> History:
        """So many entries of commands, then everything is settled."""
        self._enter([self._called("receive", id=f"r{n}", lines={sku: 12}) for n, sku in enumerate(SKUS)])
        for number in range(entries):
            self._term += self._rng.random() < 0.05
            if self._rng.random() < 0.7:
                self._apply(log.Tick(self._machine.clock))
            count = self._rng.randint(1, 5)
            self._enter([self._any(f"o{number}-{each}") for each in range(count)], loss=0.15)
            self._read()
        self._settle()
        self._end()
        self._connection.close()
        return self.history

    # Clients.

    def _called(self, command: Command, **arguments: Any) -> Waiting:
        given = Arguments.model_validate(arguments)
        return Waiting(f"c{self._rng.randrange(4)}", command, given, self._now - self._rng.random() * 0.1)

    def _any(self, new_id: str) -> Waiting:
        """A new order, the next step of one, or an old call again."""
        old = [call for call in self.history.calls[-RECENT:] if not call.is_read and call.command != "extend"]
        some = self._some_reservations()
        held = [one for one in some if one.state in {"HELD", "EXPIRED"}]
        sold = [one for one in some if one.state == "CONFIRMED" and one.units]
        dice = self._rng.random()
        if dice < 0.1 and old:
            again = self._rng.choice(old)
            return Waiting("c9", again.command, again.arguments, self._now)
        if dice < 0.45 and held:
            return self._step(self._rng.choice(held))
        if dice < 0.6 and sold:
            one = self._rng.choice(sold)
            return self._called("return", id=new_id, reservation_id=one.id, units=one.units)
        if dice < 0.65:
            return self._called("receive", id=new_id, lines={self._rng.choice(SKUS): 3})
        if dice < 0.68:
            return self._called("adjust", id=new_id, sku=self._rng.choice(SKUS), quantity=1, reason="broken")
        lines = {sku: self._rng.randint(1, 3) for sku in self._rng.sample(SKUS, self._rng.randint(1, 2))}
        if dice < 0.8:
            return self._called("place", id=new_id, lines=lines)
        return self._called("reserve", id=new_id, lines=lines, hold_ticks=self._rng.choice([0, 2, 9]))

    def _step(self, held: Reservation) -> Waiting:
        token = held.token if self._rng.random() < 0.95 else Token(1, 1, 1)
        dice = self._rng.random()
        if dice < 0.3:
            return self._called("release", id=held.id, token=token)
        if dice < 0.5:
            return self._called("extend", id=held.id, token=token, until_tick=held.expires_at_tick + 3)
        sku = next(iter(held.lines))
        some = {sku: max(1, held.lines[sku] - 1)} if dice < 0.65 else {}
        return self._called("confirm", id=held.id, token=token, lines=some)

    def _read(self) -> None:
        """One look at a level and at a reservation, as they are now."""
        view, index, called_at = SqliteSnapshot(self._connection), self._machine.applied_index, self._now - 0.01
        level = view.stock(self._rng.choice(SKUS))
        assert level is not None
        shown = Level.model_validate(level._asdict())
        answer = Answer(index=index, applied_index=index, level=shown)
        self._write(Waiting("c0", "get_stock", Arguments(sku=level.sku), called_at), answer)
        for one in self._some_reservations()[:1]:
            answer = Answer(index=index, applied_index=index, reservation=one)
            self._write(Waiting("c1", "get_reservation", Arguments(id=one.id), called_at), answer)

    def _settle(self) -> None:
        """Whatever got no answer is asked again, once everything works."""
        unknown = [call for call in self.history.calls if call.came_to == "unknown"]
        for call in unknown:
            self._enter([Waiting(call.client, call.command, call.arguments, self._now)])

    def _end(self) -> None:
        for _ in range(CAP_TICKS + 1):
            self._apply(log.Tick(self._machine.clock))
        kept = self._machine.state_hash()
        hashes = dict.fromkeys(NODES, f"{kept.index} {kept.chain.hex()} {kept.digest.hex()}")
        levels = SqliteSnapshot(self._connection).list_stock("", 1000)
        stock = tuple(Level.model_validate(level._asdict()) for level in levels)
        self.history.add(State(hashes=hashes, reservations=tuple(self._reservations()), stock=stock))

    # The log.

    def _enter(self, waiting: list[Waiting], loss: float = 0.0) -> None:
        if self._tries_twice:
            self._try(waiting)
        applied = self._apply(*(to_log(each.command, each.arguments) for each in waiting))
        for each, result in zip(waiting, applied.results, strict=True):
            lost = self._rng.random() < loss
            self._write(each, None if lost else to_answer(result, applied.index))

    def _try(self, waiting: list[Waiting]) -> None:
        for each in [each for each in waiting if each.command == "extend"]:
            self._apply(to_log(each.command, each.arguments))
            for _ in range(self._rng.randrange(6)):
                self._apply(log.Tick(self._machine.clock))

    def _apply(self, *entry: log.Command) -> results.Applied:
        self._now += ENTRY_S
        index = self._machine.applied_index + 1
        applied = self._machine.apply(index, self._term, encode_entry(log.Entry(index, 1 << 40, entry)))
        self._machine.commit()
        return applied

    def _write(self, each: Waiting, answer: Answer | None) -> None:
        self.history.add(
            Call(
                client=each.client,
                node=self._rng.choice(NODES),
                command=each.command,
                arguments=each.arguments,
                called_at=each.called_at,
                returned_at=self._now + self._rng.random() * 0.1,
                came_to="unknown" if answer is None else "answered",
                answer=answer,
            )
        )

    def _some_reservations(self) -> list[Reservation]:
        """Some that were asked for of late."""
        view = SqliteSnapshot(self._connection)
        asked = [call.arguments.id for call in self.history.calls[-RECENT:] if call.command in {"reserve", "place"}]
        found = [view.reservation(name) for name in self._rng.sample(asked, min(10, len(asked)))]
        return [to_reservation(one) for one in found if one is not None]

    def _reservations(self) -> list[Reservation]:
        view = SqliteSnapshot(self._connection)
        return [to_reservation(one) for one in view.list_reservations("", 100_000, None)]


def to_log(command: Command, given: Arguments) -> log.Command:
    """A call as the command that stands in the log."""
    lines = tuple(log.Line(*line) for line in sorted(given.lines.items()))
    token = log.FencingToken(*(given.token or (0, 0, 0)))
    units = tuple(
        log.UnitLine(sku, tuple(log.UnitRange(*pair) for pair in pairs)) for sku, pairs in sorted(given.units.items())
    )
    known: dict[Command, log.Command] = {
        "reserve": log.Reserve(given.id, lines, given.hold_ticks),
        "place": log.PlaceOrder(given.id, lines),
        "confirm": log.Confirm(given.id, token, lines),
        "release": log.Release(given.id, token if given.token else None),
        "extend": log.ExtendHold(given.id, token, given.until_tick),
        "receive": log.ReceiveStock(given.id, lines),
        "adjust": log.AdjustStock(given.id, given.sku, given.quantity, (), given.reason),
        "return": log.ReturnUnits(given.id, given.reservation_id, units),
    }
    return known[command]


def to_answer(result: results.Result, applied_index: int) -> Answer:
    """A result as a client would be told."""
    return Answer(
        index=result.index,
        applied_index=applied_index,
        outcome=result.outcome.name,
        replayed=result.replayed,
        token=Token(*result.token) if result.token else None,
        expires_at_tick=result.expires_at_tick,
        units=to_units(result.units),
        shortages=result.shortages,
        reservation=to_reservation(result.reservation) if result.reservation else None,
    )


def to_reservation(one: results.Reservation) -> Reservation:
    """A reservation as a client would be shown."""
    return Reservation.model_validate(
        {
            "id": one.reservation_id,
            "state": one.state.name,
            "token": Token(*one.token) if one.token else None,
            "created_at_tick": one.created_at_tick,
            "expires_at_tick": one.expires_at_tick,
            "lines": dict(one.lines),
            "units": to_units(one.units),
        }
    )


def to_units(lines: Iterable[log.UnitLine]) -> Units:
    """Units by sku."""
    return {line.sku: tuple((units.first, units.last) for units in line.ranges) for line in lines}
