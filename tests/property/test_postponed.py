"""Entries that take more than they may: what is postponed is the same on every node, whatever its memory knows.

The naive model knows no bound: it is told which holds a command expired before it was postponed.
"""

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from unit.statemachine.shop import audit

from lastunit_node.statemachine import reservations, state
from lastunit_node.statemachine.brief import full
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Entry, FencingToken
from lastunit_node.statemachine.results import Outcome, ReservationState

from . import test_model
from .model import At

RANGES_AN_ENTRY, KEPT_RANGES = state.RANGES_AN_ENTRY, reservations.KEPT_RANGES


EXPIRED = (int(ReservationState.EXPIRED),)


class PostponedHistory(test_model.ShopHistory):
    """One log: for a machine that commits and restarts, and for one that never does."""

    @rule(ranges=st.integers(2, 12), kept=st.sampled_from([0, 2, 10_000]))
    def allow(self, ranges: int, kept: int) -> None:
        """With 1, who names a range would be postponed for ever; in truth commands name fewer than an entry may do."""
        state.RANGES_AN_ENTRY, reservations.KEPT_RANGES = ranges, kept

    @invariant()
    def agree(self) -> None:
        self.machine.commit()
        assert self.machine.scan_digest() == self.machine.digest
        audit(self.connection)

    def teardown(self) -> None:
        super().teardown()
        state.RANGES_AN_ENTRY, reservations.KEPT_RANGES = RANGES_AN_ENTRY, KEPT_RANGES

    def deliver(self, entry: Entry) -> None:
        index = self.machine.applied_index + 1
        applied = self.machine.apply(index, test_model.TERM, encode_entry(entry))
        assert self.twin.apply(index, test_model.TERM, encode_entry(entry)) == applied
        assert self.twin.state_hash() == self.machine.state_hash()
        self.model.step()
        for position, (command, result) in enumerate(zip(entry.commands, applied.results, strict=True)):
            event(f"{type(command).__name__} {result.outcome.name}")
            if result.outcome is Outcome.POSTPONED:
                self.machine.write_back()
                found = self.connection.execute("SELECT reservation_id FROM reservations WHERE state = ?", EXPIRED)
                assert position + self.model.expire_those({name for (name,) in found}), "nothing was done"
                assert {result.outcome for result in applied.results[position:]} == {Outcome.POSTPONED}
                return
            late = self.model.clock > entry.valid_until_tick
            at = At(FencingToken(test_model.TERM, index, position), late=late)
            assert result == self.model.apply(full(command), at), command


TestPostponedHistory = PostponedHistory.TestCase
TestPostponedHistory.settings = settings(max_examples=60, stateful_step_count=40)
