"""The real state machine; every application goes to the oracle."""

from typing import TYPE_CHECKING

from unit.statemachine.shop import audit

from lastunit_node.replica.core import RecordingMachine
from lastunit_node.statemachine.results import Applied, Outcome, ReservationState, StateHash
from lastunit_node.statemachine.tables import AdmittedRow

if TYPE_CHECKING:
    from simulation.node import SimulatedNode

EXPIRED = int(ReservationState.EXPIRED)
AUDIT_EVERY = 16  # indexes between two full counts of all units


class WatchedMachine:
    """What Raft gets in the place of the machine that remembers hashes."""

    def __init__(self, node: "SimulatedNode", machine: RecordingMachine) -> None:
        self._node, self._machine = node, machine

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        node, world = self._node, self._node.world
        world.checks.about_to_apply(node.name, index, node.disk.journal)
        applied = self._machine.apply(index, term, entry)
        if not world.network.calm:
            world.clock.now += world.profile.apply_cost  # for everyone: the price of one thread
        state = self._machine.machine.state_hash()
        if world.oracle.applied(node.name, entry, applied, state, self._expired):
            world.counts.update("postponed" for result in applied.results if result.outcome is Outcome.POSTPONED)
            outcomes = " ".join(result.outcome.name for result in applied.results)
            world.trace.say(f"{node.name} applies {index} of term {term} first: {outcomes or 'nothing'}")
            if index % AUDIT_EVERY == 0:
                self._machine.machine.write_back()
                audit(node.disk.state)
        return applied

    def _expired(self) -> set[str]:
        self._machine.machine.write_back()
        rows = self._node.disk.state.execute("SELECT reservation_id FROM reservations WHERE state = ?", (EXPIRED,))
        return {name for (name,) in rows}

    def hash_at(self, index: int) -> StateHash | None:
        return self._machine.hash_at(index)

    def admitted(self, node: str) -> AdmittedRow | None:
        return self._machine.admitted(node)
