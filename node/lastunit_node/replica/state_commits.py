"""When the state's transaction is committed: one COMMIT for many entries, at once when a read waits for one of them.

The promise is the journal's, not the state's: an entry is on a majority's disks before it is applied, and what a crash
takes from the state is replayed. So results need not wait for this COMMIT. Reads do: they see committed rows only, and
wait for the COMMIT of the index that they answer with (interface.Status.applied_index).
"""

from typing import TYPE_CHECKING, Final

from lastunit_node.replica import timing

if TYPE_CHECKING:
    from lastunit_node.statemachine.machine import StateMachine

NEVER: Final = 1 << 63
MAX_ENTRIES: Final = 256  # in one transaction


class StateCommits:
    """Commits one node's state."""

    def __init__(self, machine: "StateMachine") -> None:
        self._machine = machine
        self._wanted = NEVER
        self._begun = float("-inf")  # when no transaction was open for the last time

    def want(self, index: int) -> None:
        """Reads wait for this index and none below; NEVER when none waits. Any thread."""
        self._wanted = index

    def when_wanted(self) -> None:
        """Once a turn, before anybody is told what can be read."""
        if self._wanted <= self._machine.applied_index:
            self._machine.commit()

    def when_due(self, now: float, *, busy: bool = False) -> None:
        """Once a turn, after results were handed out: they do not wait for it.

        busy: this node waits for acknowledgements, which would wait for the COMMIT; it is put off, for so long again.
        """
        patience = timing.STATE_COMMIT_WHEN_BUSY if busy else timing.STATE_COMMIT
        committed, applied = self._machine.committed_index, self._machine.applied_index
        if applied - committed >= MAX_ENTRIES or (applied > committed and now - self._begun >= patience):
            self._machine.commit()
            committed = applied
        if applied == committed:
            self._begun = now
