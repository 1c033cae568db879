"""Two entries in flight: when the second begins, and what becomes of both."""

import asyncio

from lastunit_node.frontend.batcher import FIRST_PAUSE, MIN_OVERLAP, Batcher
from lastunit_node.frontend.errors import CallError
from lastunit_node.replica.interface import FailureReason
from lastunit_node.statemachine.limits import MAX_COMMANDS

from .batcher_calls import LATER, names_in, run, start
from .fakes import FakeReplica, turns


class TestTwoInFlight:
    """MANY is worth an entry beside one of the same weight."""

    MANY = tuple(f"x{number}" for number in range(MIN_OVERLAP))

    async def test_the_second_begins_when_as_much_waits_as_the_first_carries(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        first = run(batcher, *self.MANY, "a")
        await replica.proposed(1)
        rest = [run(batcher, *self.MANY)]
        await turns()
        assert len(replica.proposals) == 1
        rest.append(run(batcher, "b"))
        await replica.proposed(2)
        rest.append(run(batcher, *self.MANY, "c", "d"))
        await turns()
        assert len(replica.proposals) == 2
        replica.let_go()
        await asyncio.gather(first, *rest)
        assert [len(proposal.commands) for proposal in replica.proposals] == [MIN_OVERLAP + n for n in (1, 1, 2)]

    async def test_what_does_not_fit_one_entry_goes_into_two_at_once(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        tasks = [run(batcher, *["x"] * MAX_COMMANDS) for _ in range(3)]
        await replica.proposed(2)
        await turns()
        assert len(replica.proposals) == 2
        replica.let_go()
        await asyncio.gather(*tasks)

    async def test_one_may_overtake_another_whose_attempt_failed(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.script.append(FailureReason.LEADER_CHANGED)
        replica.hold()
        first = run(batcher, "a", *self.MANY)
        await replica.proposed(1)
        second = run(batcher, "b", *self.MANY)
        await replica.proposed(2)
        replica.let_go()
        assert [(await task).applied_index for task in (first, second)] == [2, 1]
        assert [names_in(replica, number)[0] for number in range(3)] == ["a", "b", "a"]

    async def test_each_says_by_itself_whether_it_may_have_been_applied(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.script.append(FailureReason.TIMED_OUT)
        replica.always = FailureReason.NO_LEADER
        replica.hold()
        first = run(batcher, *self.MANY, seconds=LATER)
        await replica.proposed(1)
        second = run(batcher, *self.MANY, seconds=LATER)
        await replica.proposed(2)
        replica.let_go()
        answers = [(await task).answers for task in (first, second)]
        assert [{a.definite for a in each if isinstance(a, CallError)} for each in answers] == [{False}, {True}]

    async def test_held_waits_for_both_and_holds_all_others(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.script.extend([FailureReason.LEADER_CHANGED] * 2)
        replica.hold()
        tasks = [run(batcher, *self.MANY)]
        await replica.proposed(1)
        tasks.append(run(batcher, *self.MANY))
        await replica.proposed(2)
        held = [start(self.hold_briefly(batcher, replica)) for _ in range(2)]
        await turns()
        assert not any(task.done() for task in held)
        replica.let_go()
        assert [await task for task in held] == [2, 2]
        await asyncio.gather(*tasks)

    @staticmethod
    async def hold_briefly(batcher: Batcher, replica: FakeReplica) -> int:
        async with batcher.held():
            await asyncio.sleep(4 * FIRST_PAUSE)
            return len(replica.proposals)

    async def test_stop_answers_both(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.hold()
        tasks = [run(batcher, *self.MANY)]
        await replica.proposed(1)
        tasks.append(run(batcher, *self.MANY))
        await replica.proposed(2)
        await batcher.stop()
        for task in tasks:
            answers = (await task).answers
            assert not any(answer.definite for answer in answers if isinstance(answer, CallError))
