"""Admit: which disk of a node counts (docs/raft-rules.md, rule 9). Proposed by leaders on their own."""

from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.results import Outcome, Position, Result
from lastunit_node.statemachine.state import State
from lastunit_node.statemachine.tables import AdmittedRow


def admit(state: State, at: Position, command: Admit) -> Result:
    """Admit a disk in the place of the one that the proposer knew; one that was delayed replaces no other."""
    present = state.admitted.get(command.node)
    row = row_after(present, command, at.index, at.term)
    if row is None:
        return at.answer(Outcome.ADMITTED_BEFORE)
    state.admit(row)
    return at.answer(Outcome.ADMITTED)


def row_after(present: AdmittedRow | None, command: Admit, index: int, term: int) -> AdmittedRow | None:
    """The row of the node after the command at this log position; None when it comes too late to act."""
    if command.replaces != (present.idx if present else 0):
        return None
    if present is not None and present.instance == command.instance:
        return present
    return AdmittedRow(command.node, command.instance, index, term, command.replaces)
