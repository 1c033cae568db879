"""Do the members agree on their state? Given what each reported, decide who is wrong. Pure.

Equal indexes must mean equal hashes, and the chain covers everything before its index; so a report is true for ever,
whenever it arrives, and one index compared now and then is enough. What more than half of *all* members have is right.

While no hash has such a majority, nobody can say who is right. But then every quorum of those that reported holds two
nodes that contradict each other: nothing can be answered that is certain. When that stays so, all of them stop.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from lastunit_node.statemachine.results import StateHash

EVERY: Final = 64  # applied indexes between two comparisons; sooner when time has passed
MAX_ROUNDS: Final = 64  # indexes whose reports are held: a node that is further behind is compared when it is not


class Verdict(NamedTuple):
    """right: the hash of a majority of all members, None without one. wrong: who has another, in order of names."""

    right: StateHash | None
    wrong: tuple[str, ...]


def judge(reports: Mapping[str, StateHash], members: int) -> Verdict:
    """What the reports of some of so many members, about one index, say."""
    for state_hash, count in Counter(reports.values()).items():
        if 2 * count > members:
            return Verdict(state_hash, tuple(sorted(node for node in reports if reports[node] != state_hash)))
    return Verdict(None, ())


def contradict(reports: Mapping[str, StateHash]) -> bool:
    """Whether two reports differ, so that one node at least is wrong."""
    return len(set(reports.values())) > 1


class Rounds:
    """What the members reported about recent indexes, as the leader holds it."""

    def __init__(self, members: int) -> None:
        self._members = members
        self._rounds: dict[int, dict[str, StateHash]] = {}  # by index, rising

    def clear(self) -> None:
        """Forget everything."""
        self._rounds.clear()

    @property
    def newest(self) -> int:
        """The last index that is compared; 0 for none."""
        return next(reversed(self._rounds), 0)

    def open(self, node: str, own: StateHash) -> None:
        """Compare at this index, too; `own` is what `node`, the leader, has there."""
        self._rounds[own.index] = {node: own}
        if len(self._rounds) > MAX_ROUNDS:
            del self._rounds[next(iter(self._rounds))]

    def add(self, node: str, report: StateHash) -> Verdict:
        """Count a report, in the place of an earlier one of the node; one about another index says nothing."""
        reports = self._rounds.get(report.index)
        if reports is None:
            return Verdict(None, ())
        reports[node] = report
        return judge(reports, self._members)

    def reports(self, index: int) -> Mapping[str, StateHash]:
        """Who reported what about this index."""
        return self._rounds.get(index, {})

    def confirmed(self, node: str, index: int) -> bool:
        """Whether the node is known to agree with the majority at this index."""
        reports = self.reports(index)
        right = judge(reports, self._members).right
        return right is not None and reports.get(node) == right

    def in_doubt(self) -> Mapping[str, StateHash]:
        """The newest reports that contradict each other while no later ones had a majority; empty for none."""
        for reports in reversed(self._rounds.values()):
            if judge(reports, self._members).right is not None:
                break
            if contradict(reports):
                return reports
        return {}
