"""When the journal forgets its oldest entries (docs/raft-rules.md, rule 4, Trim).

Only entries that a durable state has applied, in small pieces, so that no turn stalls. A margin stays for followers
that are close behind, a larger one for those a leader knows to be slow; both are bounded. Whoever falls behind the
margin needs a copy of the state; what follows any copy under way is held until it had time to arrive, however many
entries that is. A journal beyond FULL_BYTES keeps nothing that it could do without, so that it fills no disk.
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
FULL_BYTES: Final = 4 << 30
PIECE_ENTRIES: int = 1_000  # forgotten in one turn,
PIECE_BYTES: Final = 32 << 20  # and bytes: 7 to 16 ms, once 31, by trim() timed on entries of 15 kB to 1 MB


def oldest_to_keep(
    applied: int, last: int, followers: Collection[int], journal_bytes: int, held: int | None = None
) -> int:
    """Index of the oldest entry to keep.

    `applied` is durable in the state, followers are known match indexes, a copy of the state at `held` is under way.
    """
    if journal_bytes > FULL_BYTES:
        return applied
    slowest = min(followers, default=last)
    if journal_bytes > MAX_BYTES:
        oldest = min(applied, max(slowest, last - MARGIN_ENTRIES))
    else:
        oldest = max(0, min(applied, last - MARGIN_ENTRIES, max(slowest, last - SLOW_MARGIN_ENTRIES)))
    return oldest if held is None else min(oldest, held)


class Compactor:
    """Trims one node's journal, piece by piece."""

    def __init__(self, journal: "SqliteJournal", machine: "StateMachine", checkpoints: "Checkpoints") -> None:
        self._journal = journal
        self._machine = machine
        self._checkpoints = checkpoints
        self._looked_at = float("-inf")
        self._held: dict[int, float] = {}  # entries from an index on, until when; several copies may be under way

    def hold(self, index: int, until: float) -> None:
        """Keep entries after index until a moment: a copy of the state at that index is under way."""
        self._held[index] = until

    def step(self, now: float, followers: Collection[int]) -> None:
        """Between turns: forget one piece, if there is one to forget."""
        if self._held:
            self._held = {index: until for index, until in self._held.items() if now < until}
        held_now = min(self._held, default=None)
        if self._trim(followers, held_now) or now - self._looked_at < timing.COMPACTION:
            return
        self._looked_at = now
        if self._oldest(self._machine.applied_index, followers, held_now) - self._journal.first_index >= PIECE_ENTRIES:
            self._checkpoints.begin()

    def _trim(self, followers: Collection[int], held: int | None) -> bool:
        keep_from = self._oldest(self._checkpoints.durable_index, followers, held)
        if keep_from - self._journal.first_index < PIECE_ENTRIES:
            return False
        self._journal.trim(keep_from, PIECE_ENTRIES, PIECE_BYTES)
        return True

    def _oldest(self, applied: int, followers: Collection[int], held: int | None) -> int:
        return oldest_to_keep(applied, self._journal.last_index, followers, self._journal.size, held)
