"""When the journal forgets its oldest entries (docs/raft-rules.md, rule 4, Trim).

Only entries that a durable state has applied, in small pieces, so that no turn stalls. A margin stays for followers
that are close behind, a larger one for those a leader knows to be slow; both are bounded. Whoever falls behind the
margin needs a copy of the state; what follows a copy under way is held until it had time to arrive.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from lastunit_node.replica import timing

if TYPE_CHECKING:
    from lastunit_node.replica.checkpoints import Checkpoints
    from lastunit_node.replica.journal import SqliteJournal
    from lastunit_node.statemachine.machine import StateMachine

# Those that tests of trimming lower are not Final: compiled code has built in what is.
MARGIN_ENTRIES: int = 20_000
SLOW_MARGIN_ENTRIES: int = 4 * MARGIN_ENTRIES
MAX_BYTES: Final = 256 << 20  # of entries; beyond, only what a known follower still needs is kept, up to a margin
PIECE_ENTRIES: int = 1_000  # forgotten in one turn


def oldest_to_keep(applied: int, last: int, followers: Collection[int], journal_bytes: int) -> int:
    """Index of the oldest entry to keep: `applied` is durable in the state, followers are known match indexes."""
    slowest = min(followers, default=last)
    if journal_bytes > MAX_BYTES:
        return min(applied, max(slowest, last - MARGIN_ENTRIES))
    return max(0, min(applied, last - MARGIN_ENTRIES, max(slowest, last - SLOW_MARGIN_ENTRIES)))


class Compactor:
    """Trims one node's journal, piece by piece."""

    def __init__(self, journal: "SqliteJournal", machine: "StateMachine", checkpoints: "Checkpoints") -> None:
        self._journal = journal
        self._machine = machine
        self._checkpoints = checkpoints
        self._looked_at = float("-inf")
        self._held: tuple[int, float] = (0, float("-inf"))  # entries from here on, until then

    def hold(self, index: int, until: float) -> None:
        """Keep entries after index until a moment: a copy of the state at that index is under way."""
        self._held = (index, until)

    def step(self, now: float, followers: Collection[int]) -> None:
        """Between turns: forget one piece, if there is one to forget."""
        index, until = self._held
        if now < until:
            followers = [*followers, index]
        if self._trim(followers) or now - self._looked_at < timing.COMPACTION:
            return
        self._looked_at = now
        if self._oldest(self._machine.applied_index, followers) - self._journal.first_index >= PIECE_ENTRIES:
            self._checkpoints.begin()

    def _trim(self, followers: Collection[int]) -> bool:
        keep_from = self._oldest(self._checkpoints.durable_index, followers)
        if keep_from - self._journal.first_index < PIECE_ENTRIES:
            return False
        self._journal.trim(keep_from, PIECE_ENTRIES)
        return True

    def _oldest(self, applied: int, followers: Collection[int]) -> int:
        return oldest_to_keep(applied, self._journal.last_index, followers, self._journal.size)
