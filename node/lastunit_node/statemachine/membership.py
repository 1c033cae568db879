"""Admit: which disk of a node counts (pysyncobj.md, rule 9). Proposed by leaders on their own."""

from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.results import Outcome, Result
from lastunit_node.statemachine.state import Position, State
from lastunit_node.statemachine.tables import AdmittedRow


def admit(state: State, at: Position, command: Admit) -> Result:
    """Admit a disk in the place of the one that the proposer knew; one that was delayed replaces no other."""
    present = state.admitted.get(command.node)
    if command.replaces != (present.idx if present else 0):
        return at.answer(Outcome.ADMITTED_BEFORE)
    if present is None or present.instance != command.instance:
        state.admit(AdmittedRow(command.node, command.instance, at.token.index, at.token.term))
    return at.answer(Outcome.ADMITTED)
