"""The workload: clients at all nodes who order, hold, confirm, release, extend, return, ask again, and look.

Each writes down every call in the history. They are seeded, but what they are answered depends on the cluster: a seed
repeats the plan, not the run. Every call has a deadline; what nobody knows in the end is asked again, once all is well.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from chaos.history import Answer, Arguments, Call, CameTo, Command, HistoryWriter, Level, Reservation, Token, Units
from chaos.replay import key_of
from lastunit_client import (
    AsyncInventoryClient,
    CommandResult,
    FencingToken,
    LastUnitError,
    NotFoundError,
    StockLevel,
    UnitLine,
)
from lastunit_client import Reservation as SeenReservation

SKUS = tuple(f"sku-{number}" for number in range(1, 25))
FIRST_UNITS = 40
CALL_S = 6.0  # deadline of a call: longer than most failovers, shorter than the worst
GRACE_S = 15.0  # after its deadline, a call that has not ended is a violation
SETTLE_S = 30.0
RECENT = 40

Now = Callable[[], float]
ResultT = TypeVar("ResultT", CommandResult, StockLevel, SeenReservation)


class Caller:
    """One client of the cluster: makes calls, and writes down what came of them."""

    def __init__(
        self, name: str, node: str, endpoints: list[str], writer: HistoryWriter, now: Now, timeout: float = CALL_S
    ) -> None:
        self.name, self.node = name, node
        self._writer, self._now, self._timeout = writer, now, timeout
        self._client = AsyncInventoryClient(endpoints, timeout=timeout, attempt_timeout=2.0)

    async def call(self, command: Command, arguments: Arguments) -> Answer | None:
        """Make one call; its answer, None where there is none."""
        called_at = self._now()
        came_to: CameTo = "unknown"
        answer, error, returned_at = None, "", None
        try:
            async with asyncio.timeout(self._timeout + GRACE_S):
                answer = to_answer(await self._send(command, arguments))
            came_to = "answered"
            returned_at = self._now()
        except NotFoundError:
            came_to, returned_at = "not_found", self._now()
        except LastUnitError as problem:
            returned_at, error = self._now(), str(problem)
            came_to = (
                "not_applied" if problem.definite and command not in {"get_stock", "get_reservation"} else "unknown"
            )
        except TimeoutError:
            error = "did not end"
        self._write(command, arguments, called_at, returned_at, came_to, answer, error)
        return answer

    def _write(
        self,
        command: Command,
        arguments: Arguments,
        called_at: float,
        returned_at: float | None,
        came_to: CameTo,
        answer: Answer | None,
        error: str,
    ) -> None:
        self._writer.add(
            Call(
                client=self.name,
                node=self.node,
                command=command,
                arguments=arguments,
                called_at=called_at,
                returned_at=returned_at,
                came_to=came_to,
                answer=answer,
                error=error,
            )
        )

    def _send(self, command: Command, given: Arguments) -> Awaitable[CommandResult | StockLevel | SeenReservation]:
        client, token = self._client, FencingToken(*(given.token or (0, 0, 0)))
        stale, least = given.stale, given.min_index
        sends: dict[Command, Callable[[], Awaitable[CommandResult | StockLevel | SeenReservation]]] = {
            "reserve": lambda: client.reserve(given.lines, reservation_id=given.id, hold_ticks=given.hold_ticks),
            "place": lambda: client.place_order(given.lines, reservation_id=given.id),
            "confirm": lambda: client.confirm(given.id, token, given.lines or None),
            "release": lambda: client.release(given.id, token if given.token else None),
            "extend": lambda: client.extend_hold(given.id, token, given.until_tick),
            "receive": lambda: client.receive_stock(given.lines, receipt_id=given.id),
            "adjust": lambda: client.adjust_stock(
                given.sku, reason=given.reason, quantity=given.quantity, adjustment_id=given.id
            ),
            "return": lambda: client.return_units(given.reservation_id, given.units, return_id=given.id),
            "get_stock": lambda: client.get_stock(given.sku, stale=stale, min_index=least),
            "get_reservation": lambda: client.get_reservation(given.id, stale=stale, min_index=least),
        }
        return sends[command]()

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


class Buyer:
    """Takes one random step after the other until it is told to stop."""

    def __init__(self, caller: Caller, seed: str, pause_s: float) -> None:
        self._caller = caller
        self._rng = random.Random(seed)
        self._pause_s = pause_s
        self._held: list[tuple[Arguments, Answer]] = []
        self._sold: list[tuple[str, Units]] = []
        self._done: list[tuple[Command, Arguments]] = []
        self._number = 0
        self._seen_index = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Steps with pauses between them."""
        while not stop.is_set():
            command, arguments = self._next()
            answer = await self._caller.call(command, arguments)
            self._learn(command, arguments, answer)
            await asyncio.sleep(self._rng.expovariate(1 / self._pause_s))

    def _next(self) -> tuple[Command, Arguments]:
        kinds: dict[Callable[[], tuple[Command, Arguments]], float] = {
            self._order: 5,
            self._end_hold: 4 if self._held else 0,
            self._return: 1.5 if self._sold else 0,
            self._again: 1 if self._done else 0,
            self._reuse: 0.1 if self._done else 0,
            self._supply: 0.5,
            self._look: 3,
        }
        return self._rng.choices(list(kinds), list(kinds.values()))[0]()

    def _order(self) -> tuple[Command, Arguments]:
        lines = {sku: self._rng.randint(1, 3) for sku in self._rng.sample(SKUS, self._rng.choice([1, 1, 2, 3]))}
        if self._rng.random() < 0.4:
            return "place", Arguments(id=self._new_id(), lines=lines)
        return "reserve", Arguments(id=self._new_id(), lines=lines, hold_ticks=self._rng.choice([0, 5, 20, 100]))

    def _end_hold(self) -> tuple[Command, Arguments]:
        given, answer = self._held.pop(self._rng.randrange(len(self._held)))
        token = answer.token if self._rng.random() < 0.97 else Token(1, 1, 1)
        dice = self._rng.random()
        if dice < 0.25:
            return "release", Arguments(id=given.id, token=token)
        if dice < 0.45:
            self._held.append((given, answer))
            until = answer.expires_at_tick + self._rng.randint(1, 100)
            return "extend", Arguments(id=given.id, token=token, until_tick=until)
        sku, quantity = next(iter(given.lines.items()))
        some = {sku: self._rng.randint(1, quantity)} if dice < 0.6 and len(given.lines) > 1 else {}
        return "confirm", Arguments(id=given.id, token=token, lines=some)

    def _return(self) -> tuple[Command, Arguments]:
        name, units = self._sold.pop(self._rng.randrange(len(self._sold)))
        return "return", Arguments(id=self._new_id(), reservation_id=name, units=units)

    def _again(self) -> tuple[Command, Arguments]:
        return self._rng.choice(self._done)

    def _reuse(self) -> tuple[Command, Arguments]:
        """Another order under an old id."""
        _, arguments = self._rng.choice(self._done)
        return "place", Arguments(id=arguments.id, lines={SKUS[0]: 1, SKUS[1]: 1, SKUS[2]: 1, SKUS[3]: 1})

    def _supply(self) -> tuple[Command, Arguments]:
        sku = self._rng.choice(SKUS)
        if self._rng.random() < 0.2:
            return "adjust", Arguments(id=self._new_id(), sku=sku, quantity=1, reason="broken")
        return "receive", Arguments(id=self._new_id(), lines={sku: self._rng.randint(5, 25)})

    def _look(self) -> tuple[Command, Arguments]:
        stale = self._rng.random() < 0.3
        least = self._seen_index if stale and self._rng.random() < 0.5 else 0
        if self._done and self._rng.random() < 0.5:
            _, arguments = self._rng.choice(self._done)
            return "get_reservation", Arguments(id=arguments.id, stale=stale, min_index=least)
        return "get_stock", Arguments(sku=self._rng.choice(SKUS), stale=stale, min_index=least)

    def _new_id(self) -> str:
        self._number += 1
        return f"{self._caller.name}-{self._number}"

    def _learn(self, command: Command, arguments: Arguments, answer: Answer | None) -> None:
        if answer is not None:
            self._seen_index = max(self._seen_index, answer.applied_index)
        if command in {"reserve", "place", "confirm", "release"}:
            self._done = [*self._done[-RECENT:], (command, arguments)]
        if answer is None or answer.replayed:
            return
        if answer.outcome == "RESERVED":
            self._held.append((arguments, answer))
        if answer.outcome in {"ORDER_PLACED", "CONFIRMED"}:
            self._sold.append((arguments.id, answer.units))


class Workload:
    """All buyers. Odd ones know every node and prefer one, even ones know a single node."""

    def __init__(
        self, writer: HistoryWriter, now: Now, endpoints: Mapping[str, str], *, seed: int, buyers: int, rate: float
    ) -> None:
        self._writer, self._now = writer, now
        self._endpoints = dict(endpoints)
        self._callers: list[Caller] = []
        self._buyers: list[Buyer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        nodes = list(endpoints)
        for number in range(buyers):
            node = nodes[number % len(nodes)]
            others = [self._endpoints[other] for other in nodes if other != node]
            known = [self._endpoints[node], *(others if number // len(nodes) % 2 == 0 else [])]
            self._callers.append(Caller(f"b{number}", node, known, writer, now))
            self._buyers.append(Buyer(self._callers[-1], f"{seed} buyer {number}", buyers / rate))

    async def deliver(self) -> None:
        """The first units, before anybody buys."""
        for sku in SKUS:
            await self._callers[0].call("receive", Arguments(id=f"first-{sku}", lines={sku: FIRST_UNITS}))

    def begin(self) -> None:
        """Let everybody buy."""
        self._tasks = [asyncio.create_task(buyer.run(self._stop)) for buyer in self._buyers]

    async def end(self) -> None:
        """Let everybody finish the call they are in, and close."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(caller.close() for caller in self._callers))

    async def settle(self) -> int:
        """Ask again, with a cluster that works, whatever was left in doubt; how many commands still are."""
        caller = Caller("settler", "", list(self._endpoints.values()), self._writer, self._now, timeout=SETTLE_S)
        answered = {key_of(call) for call in self._writer.history.calls if call.answer}
        doubtful = {key_of(call): call for call in self._writer.history.calls if call.came_to == "unknown"}
        for key, call in doubtful.items():
            if not call.is_read and key not in answered and await caller.call(call.command, call.arguments):
                answered.add(key)
        await caller.close()
        return sum(not call.is_read and key not in answered for key, call in doubtful.items())


def to_answer(result: CommandResult | StockLevel | SeenReservation) -> Answer:
    """What the client library gave, as the history has it."""
    index = result.applied_index
    match result:
        case StockLevel():
            return Answer(index=index, applied_index=index, level=to_level(result))
        case SeenReservation():
            return Answer(index=index, applied_index=index, reservation=to_reservation(result))
        case CommandResult():
            return Answer(
                index=result.result_index,
                applied_index=index,
                outcome=result.outcome.name,
                replayed=result.replayed,
                token=to_token(result.token),
                expires_at_tick=result.expires_at_tick,
                units=to_units(result.units),
                shortages=tuple((short.sku, short.requested, short.available) for short in result.shortages),
                reservation=to_reservation(result.reservation) if result.reservation else None,
            )


def to_level(level: StockLevel) -> Level:
    """A stock level."""
    return Level(
        sku=level.sku,
        received=level.received,
        available=level.available,
        held=level.held,
        sold=level.sold,
        removed=level.removed,
    )


def to_reservation(one: SeenReservation) -> Reservation:
    """A reservation."""
    return Reservation.model_validate(
        {
            "id": one.reservation_id,
            "state": one.state.name,
            "token": to_token(one.token),
            "created_at_tick": one.created_at_tick,
            "expires_at_tick": one.expires_at_tick,
            "lines": {line.sku: line.quantity for line in one.lines},
            "units": to_units(one.units),
        }
    )


def to_token(token: FencingToken | None) -> Token | None:
    """A fencing token."""
    return None if token is None else Token(token.term, token.index, token.position)


def to_units(lines: tuple[UnitLine, ...]) -> Units:
    """Units by sku."""
    return {line.sku: tuple((units.first, units.last) for units in line.ranges) for line in lines}
