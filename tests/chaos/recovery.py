"""How long orders stand still when a leader dies or stops: from the signal to the next order that is committed.

One probe at every node places one small order after the other, past all proxies. An order counts when it was placed at
another node than the one that was hit, and was called after the signal or committed in a later term.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chaos.clients import Caller
from chaos.history import Arguments, Call, FaultRecord, History, HistoryWriter
from chaos.latency import Figures, in_ms

PROBE_PAUSE_S = 0.015
STOCK = 200  # units, received whenever as many are sold
CALM_S = 1.5  # a fault is alone when no other was there for so long
HARMLESS = frozenset({"move clock", "reset clients", "cut clients", "delay clients"})


class Probes:
    """One at every node."""

    def __init__(self, writer: HistoryWriter, now: Callable[[], float], endpoints: Mapping[str, str]) -> None:
        self._callers = [Caller(f"probe-{node}", node, [endpoints[node]], writer, now) for node in endpoints]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Let them order."""
        self._tasks = [asyncio.create_task(self._order(caller)) for caller in self._callers]

    async def end(self) -> None:
        """Let each finish its call, and close."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(caller.close() for caller in self._callers))

    async def _order(self, caller: Caller) -> None:
        number = 0
        while not self._stop.is_set():
            if number % STOCK == 0:
                await caller.call("receive", Arguments(id=f"{caller.name}-r{number}", lines={caller.name: STOCK}))
            await caller.call("place", Arguments(id=f"{caller.name}-{number}", lines={caller.name: 1}))
            number += 1
            await asyncio.sleep(PROBE_PAUSE_S)


@dataclass(frozen=True)
class Gap:
    """One leader that was hit. seconds: until the next order; None when there was none any more."""

    fault: FaultRecord
    seconds: float | None
    alone: bool  # nothing else was wrong meanwhile


def gaps(history: History) -> list[Gap]:
    """Every leader that was killed or paused."""
    orders = sorted(
        (call for call in history.calls if is_new_order(call)), key=lambda call: call.returned_at or float("inf")
    )
    hit = [fault for fault in history.faults if fault.name in {"kill leader", "pause leader"}]
    return [_gap(fault, orders, history.faults) for fault in sorted(hit, key=lambda fault: fault.began_at)]


def is_new_order(call: Call) -> bool:
    """Whether it was committed, and says in which term."""
    return call.answer is not None and call.answer.token is not None and not call.answer.replayed


def _gap(fault: FaultRecord, orders: list[Call], faults: list[FaultRecord]) -> Gap:
    after = (call for call in orders if call.returned_at is not None and call.returned_at > fault.began_at)
    first = next((call for call in after if _counts(call, fault)), None)
    if first is None or first.returned_at is None:
        return Gap(fault, None, alone=False)
    others = [other for other in faults if other is not fault and other.name not in HARMLESS]
    from_, to = fault.began_at - CALM_S, first.returned_at
    alone = not any(other.began_at < to and other.ended_at > from_ for other in others)
    return Gap(fault, first.returned_at - fault.began_at, alone)


def _counts(call: Call, fault: FaultRecord) -> bool:
    assert call.answer is not None
    assert call.answer.token is not None
    later = call.called_at >= fault.began_at or call.answer.token.term > fault.term
    return later and call.node not in fault.nodes


def recovery_figures(history: History) -> dict[str, Figures]:
    """By what was hit, and whether it was alone."""
    found = gaps(history)
    kills = [gap for gap in found if gap.fault.name == "kill leader"]
    pauses = [gap for gap in found if gap.fault.name == "pause leader"]
    return {
        "leader killed, nothing else wrong": in_ms(gap.seconds for gap in kills if gap.alone),
        "leader killed, among other faults": in_ms(gap.seconds for gap in kills if not gap.alone),
        "leader paused, nothing else wrong": in_ms(gap.seconds for gap in pauses if gap.alone),
        "leader paused, among other faults": in_ms(gap.seconds for gap in pauses if not gap.alone),
    }
