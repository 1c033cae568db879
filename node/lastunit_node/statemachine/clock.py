"""Configure and Tick: what the leader proposes on its own."""

from lastunit_node.statemachine import expiry
from lastunit_node.statemachine.commands import Configure, Tick
from lastunit_node.statemachine.results import Outcome, Parameters, Position, Result
from lastunit_node.statemachine.state import State


def configure(state: State, at: Position, command: Configure) -> Result:
    """Set the parameters of a cluster that was just born."""
    if state.is_late(at):
        return at.answer(Outcome.TOO_LATE)
    if state.configured is not None:
        return at.answer(Outcome.ALREADY_CONFIGURED)
    state.configure(Parameters(*command))
    return at.answer(Outcome.CONFIGURED)


def tick(state: State, at: Position, command: Tick) -> Result:
    """Advance the clock by one, if the tick was meant for this moment and no due hold is left."""
    if state.is_late(at):
        return at.answer(Outcome.TOO_LATE)
    if command.clock != state.clock or expiry.is_behind(state):
        return at.answer(Outcome.CLOCK_MISMATCH)
    state.advance_clock()
    expiry.step(state)
    return at.answer(Outcome.TICKED)
