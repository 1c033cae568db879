"""Clients: each plays one session after another, and repeats a command through other nodes until it is answered.

A client repeats an id for less than half of the retention, as the documentation of lastunit tells it to; after that it
gives up, and the outcome stays unknown.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.results import Result
from simulation.clock import DRIFT, Clock
from simulation.frontend import Call
from simulation.profile import Profile
from simulation.sessions import Session, Shopper, ballast, draw_session, open_shop

HURRIED, UNHURRIED = (0.0, 0.2), (0.5, 1.5)  # seconds between two sessions
SHORTEST = 0.01  # seconds; asking for less time than this is giving up
Submit = Callable[[str, Call], bool]  # to a node; False when nobody listens there


class Client:
    """One caller with one session at a time."""

    def __init__(
        self,
        number: int,
        clock: Clock,
        rng: Random,
        profile: Profile,
        nodes: list[str],
        to: Submit,
        is_ahead: Callable[[], bool],
    ) -> None:
        self._clock, self._rng, self._nodes, self._submit = clock, rng, nodes, to
        self._ballast = profile.ballast
        self._is_ahead = is_ahead
        self._ids = 0
        self._name = f"c{number}"
        tick = profile.configure.tick_ms / 1000
        self._patience = 0.45 * profile.configure.retention_ticks * tick / (1 + DRIFT)
        self._shopper = Shopper(rng, self._new_id, profile.configure.hold_ticks, tick)
        self._first_asked: dict[Command, float] = {}
        self._closing = False
        self.busy = True
        self.answered = self.unknown = 0
        session = open_shop(self._shopper) if number == 0 else draw_session(self._shopper)
        clock.after(rng.uniform(0.0, 0.5), partial(self._go_on, session, None))

    def close(self) -> None:
        """Let the call under way end, and make no other."""
        self._closing = True

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._name}-{self._ids}"

    def _go_on(self, session: Session, result: Result | None) -> None:
        """Let the session see the result and do its next step."""
        if self._closing:
            self.busy = False
            return
        try:
            step = session.send(result)
        except StopIteration:
            self._rest()
            return
        if isinstance(step, float):
            self._clock.after(step, partial(self._go_on, session, None))
        else:
            self._first_asked.setdefault(step, self._clock.now)
            self._ask(session, step)

    def _rest(self) -> None:
        self._first_asked.clear()
        rest = self._rng.uniform(*(UNHURRIED if self._is_ahead() else HURRIED))
        self._clock.after(rest, lambda: self._go_on(draw_session(self._shopper), None))

    def _ask(self, session: Session, command: Command) -> None:
        """Ask one node, for a while."""
        left = self._first_asked[command] + self._patience - self._clock.now
        if left < SHORTEST:
            self.unknown += 1
            self._go_on(session, None)
            return
        call = Call(command, partial(self._on_answer, session))
        node = self._rng.choice(self._nodes)
        if not self._submit(node, call):
            self._clock.after(self._rng.uniform(0.02, 0.2), partial(self._ask, session, command))
            return
        if self._rng.random() < self._ballast:
            self._submit(node, Call(ballast(self._rng), lambda _result: None))
        self._clock.after(min(left, self._rng.uniform(0.2, 3.0)), partial(self._go_elsewhere, session, call))

    def _go_elsewhere(self, session: Session, call: Call) -> None:
        if not call.over:
            call.over = True
            self._ask(session, call.command)

    def _on_answer(self, session: Session, result: Result) -> None:
        self.answered += 1
        self._go_on(session, result)
