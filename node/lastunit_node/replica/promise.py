"""To whom a node has granted its pre-vote of late, itself included: one candidate at a time, or votes would split.

When a leader dies, its followers miss it in the same moment. Were each granted every pre-vote, all would stand in one
term, vote for themselves and wait out another election timeout. A promise is short, in memory and no part of safety.
"""

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

    def is_free_for(self, asker: Candidate, now: float) -> bool:
        """Whether nobody else is promised. A better log goes before; before this node itself, a greater name too."""
        to = self._to
        if to is None or now >= self._until or to.name == asker.name:
            return True
        if self._is_firm:
            return False
        return asker > to if to.name == self._name else asker[:2] > to[:2]

    def give(self, candidate: Candidate, now: float) -> None:
        """From now on, and for a short while."""
        self._to, self._until, self._is_firm = candidate, now + timing.PROMISE, False

    def keep(self, now: float) -> None:
        """This node, promised to itself, stands now: nobody goes before it."""
        self._until, self._is_firm = now + timing.PROMISE, True

    def is_to_another(self, now: float) -> bool:
        """Whether this node waits for another candidate to make it."""
        return self._to is not None and self._to.name != self._name and now < self._until
