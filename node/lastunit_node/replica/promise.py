"""To whom a node has granted its pre-vote of late, itself included: one candidate at a time, or votes would split.

When a leader dies, its followers miss it in the same moment. Were each granted every pre-vote, all would stand in one
term, vote for themselves and wait out another election timeout. A promise is short, in memory and no part of safety.

A node that asked and then gave way still counts the grants that come for it: else neither might get enough of them. Two
do not both stand for that: of n nodes without their leader, their logs alike, the first in order gives way to none, so
there are n - 2 grants, and two majorities would take n - 1.

What a node promised itself lasts twice as long while answers are awaited. Where messages take as long as a promise
lasts, it was over when the other node's question came: both were granted, and split the votes time after time.
"""

from collections.abc import Iterable
from typing import NamedTuple

from lastunit_node.replica import timing


class Candidate(NamedTuple):
    """Who asks, and how far its log is: the order in which candidates go first."""

    last_log_term: int
    last_log_index: int
    name: str


class Promise:
    """One node's present promise. Times in monotonic seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._to: Candidate | None = None
        self._until = float("-inf")
        self._is_firm = False
        self._refused_by: set[str] = set()  # what this node asked for itself
        self._awaited: set[str] = set()  # whose answers to that are to come

    def is_free_for(self, asker: Candidate, now: float) -> bool:
        """Whether nobody else is promised. A better log goes before.

        Before this node itself, so does a greater name, or one that has refused it: that one had not missed the leader
        yet, and would wait for this node as this node would for it.
        """
        to = self._to
        if to is None or not self._holds(now) or to.name == asker.name:
            return True
        if self._is_firm:
            return False
        if to.name == self._name:
            return asker > to or asker.name in self._refused_by
        return asker[:2] > to[:2]

    def give(self, candidate: Candidate, now: float) -> None:
        """From now on, and for a short while."""
        self._to, self._until, self._is_firm = candidate, now + timing.PROMISE, False
        self._refused_by.clear()
        self._awaited.clear()

    def ask(self, own: Candidate, asked: Iterable[str], now: float) -> None:
        """This node asks for itself."""
        self.give(own, now)
        self._awaited.update(asked)

    def answered(self, name: str, *, granted: bool) -> None:
        """A node would vote for this one, or would not."""
        self._awaited.discard(name)
        if not granted:
            self._refused_by.add(name)

    def keep(self, own: Candidate, now: float) -> None:
        """This node stands now: nobody goes before it."""
        self.give(own, now)
        self._is_firm = True

    def is_to_another(self, now: float) -> bool:
        """Whether this node waits for another candidate to make it."""
        return self._to is not None and self._to.name != self._name and self._holds(now)

    def _holds(self, now: float) -> bool:
        return now < self._until + (timing.PROMISE if self._awaited else 0.0)
