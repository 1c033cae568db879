"""What becomes of commands and reads between the call and the log: batches, attempts, deadlines, the queue's bounds."""

import asyncio
from dataclasses import replace

import grpc
import pytest

from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.queue import MAX_QUEUED, MAX_QUEUED_BYTES
from lastunit_node.frontend.work import Answers
from lastunit_node.replica.interface import DEFINITE, FailureReason
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_MESSAGE_BYTES
from lastunit_node.statemachine.results import Result

from .batcher_calls import LATER, LONG, SOON, after, names_in, only_error, order, run, run_many, start
from .fakes import PARAMETERS, STATUS, FakeReplica, turns

INDEFINITE = sorted(set(FailureReason) - DEFINITE, key=str)
RETRIED_DEFINITE = sorted(DEFINITE - {FailureReason.STOPPING}, key=str)


class TestBatching:
    async def test_an_idle_batcher_proposes_at_once(self, batcher: Batcher, replica: FakeReplica) -> None:
        answers = await run(batcher, "a")
        assert answers.applied_index == 1
        assert names_in(replica, 0) == ["a"]

    async def test_what_arrives_during_a_proposal_becomes_one_entry(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        rest = [run(batcher, "b"), run(batcher, "c", "d"), run(batcher, "e")]
        await turns()
        assert len(replica.proposals) == 1
        replica.let_go()
        await asyncio.gather(first, *rest)
        assert [names_in(replica, 0), names_in(replica, 1)] == [["a"], ["b", "c", "d", "e"]]

    async def test_each_call_gets_the_results_of_its_own_commands(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        second, third = run(batcher, "b", "c"), run(batcher, "d")
        replica.let_go()
        for task, places in ((first, [0]), (second, [0, 1]), (third, [2])):
            results = [answer for answer in (await task).answers if isinstance(answer, Result)]
            assert [result.token.position for result in results if result.token] == places

    async def test_an_entry_holds_no_more_than_its_limits(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        half = [f"x{number}" for number in range(MAX_COMMANDS // 2)]
        many = [run(batcher, *half), run(batcher, *half), run(batcher, "b")]
        large = [run(batcher, "c", size=600_000), run(batcher, "d", size=600_000)]
        await turns()
        replica.let_go()
        await asyncio.gather(first, *many, *large)
        assert [len(proposal.commands) for proposal in replica.proposals] == [1, MAX_COMMANDS, 2, 1]

    @pytest.mark.parametrize(("retention", "ahead"), [(1_000, 499), (7, 2), (6, 2), (4, 1), (2, 1), (1, 1)])
    async def test_the_stamp_is_a_tick_less_than_half_the_retention_ahead(
        self, batcher: Batcher, replica: FakeReplica, retention: int, ahead: int
    ) -> None:
        await replica.set(replace(STATUS, parameters=PARAMETERS._replace(retention_ticks=retention)))
        await run(batcher, "a")
        assert replica.proposals[0].valid_until_tick == STATUS.clock + ahead

    async def test_nothing_is_proposed_while_the_batcher_is_held(self, batcher: Batcher, replica: FakeReplica) -> None:
        async with batcher.held():
            task = run(batcher, "a")
            await turns()
            assert not replica.proposals
        await task
        assert len(replica.proposals) == 1


class TestAttempts:
    async def test_a_failed_batch_is_proposed_again_unchanged_with_a_fresh_nonce(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.script.extend([FailureReason.LEADER_CHANGED, FailureReason.NO_LEADER, FailureReason.TIMED_OUT])
        replica.hold()
        first = run(batcher, "a", "b")
        await replica.proposed(1)
        second = run(batcher, "c")
        await turns()
        await replica.set(replace(STATUS, clock=99))
        replica.let_go()
        await asyncio.gather(first, second)
        attempts = replica.proposals[:4]
        assert all(attempt.commands == (order("a"), order("b")) for attempt in attempts)
        assert {attempt.valid_until_tick for attempt in attempts} == {STATUS.clock + 499}
        assert len({attempt.nonce for attempt in attempts}) == 4
        assert names_in(replica, 4) == ["c"]
        assert replica.proposals[4].valid_until_tick == STATUS.clock + 499, "and counts from when its call came"

    async def test_what_waited_for_long_does_not_make_late_what_came_just_now(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        tasks = [run(batcher, "a")]
        await replica.proposed(1)
        for clock in (10, 11, 11 + 125, 900):
            await replica.set(replace(STATUS, clock=clock))
            tasks.append(run(batcher, f"at-{clock}"))
            await turns()
        replica.let_go()
        await asyncio.gather(*tasks)
        assert [names_in(replica, number) for number in (1, 2, 3)] == [["at-10", "at-11"], ["at-136"], ["at-900"]]
        assert [entry.valid_until_tick - 499 for entry in replica.proposals[1:]] == [10, 136, 900]

    async def test_a_result_with_another_nonce_is_an_unknown_outcome(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.forged_nonces = 1
        answers = await run(batcher, "a")
        assert answers.applied_index == 2
        assert len(replica.proposals) == 2

    @pytest.mark.parametrize("reason", RETRIED_DEFINITE)
    async def test_definite_failures_until_the_deadline_are_unavailable(
        self, batcher: Batcher, replica: FakeReplica, reason: FailureReason
    ) -> None:
        replica.always = reason
        error = await only_error(run(batcher, "a", seconds=SOON))
        assert (error.code, error.reason, error.definite) == (grpc.StatusCode.UNAVAILABLE, reason.value, True)
        assert "nothing was applied" in error.message

    @pytest.mark.parametrize("reason", INDEFINITE)
    async def test_one_indefinite_failure_makes_the_call_indefinite(
        self, batcher: Batcher, replica: FakeReplica, reason: FailureReason
    ) -> None:
        replica.script.append(reason)
        replica.always = FailureReason.NO_LEADER
        error = await only_error(run(batcher, "a", seconds=LATER))
        assert (error.code, error.definite) == (grpc.StatusCode.DEADLINE_EXCEEDED, False)
        assert error.reason == "DEADLINE", "and not the last attempt's, which was a definite one"
        assert "may have been applied" in error.message

    async def test_an_indefinite_reason_is_named(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.always = FailureReason.LEADER_CHANGED
        error = await only_error(run(batcher, "a", seconds=SOON))
        assert (error.reason, error.definite) == ("LEADER_CHANGED", False)

    async def test_a_deadline_during_the_first_attempt_is_indefinite(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        error = await only_error(run(batcher, "a", seconds=SOON))
        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")
        assert not error.definite

    async def test_success_after_an_indefinite_attempt_is_success(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.script.append(FailureReason.UNKNOWN)
        answers = await run(batcher, "a")
        assert isinstance(answers.answers[0], Result)

    @pytest.mark.parametrize(("before", "definite"), [([], True), ([FailureReason.TIMED_OUT], False)])
    async def test_a_stopping_replica_ends_the_attempts(
        self, batcher: Batcher, replica: FakeReplica, before: list[FailureReason], definite: bool
    ) -> None:
        replica.script.extend([*before, FailureReason.STOPPING])
        error = await only_error(run(batcher, "a"))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
        assert error.definite is definite


class TestExpiredWork:
    async def test_work_whose_deadline_passed_is_never_proposed(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        late, patient = run(batcher, "b", seconds=SOON), run(batcher, "c")
        error = await only_error(late)
        replica.let_go()
        await asyncio.gather(first, patient)
        assert (error.code, error.definite) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)
        assert names_in(replica, 1) == ["c"]

    async def test_without_a_quorum_waiting_work_ends_unavailable(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        await replica.set(replace(STATUS, has_quorum=False))
        error = await only_error(run(batcher, "b", seconds=SOON))
        assert (error.code, error.reason, error.definite) == (grpc.StatusCode.UNAVAILABLE, "NO_QUORUM", True)
        replica.let_go()
        await first

    async def test_cancelled_work_is_never_proposed(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        given_up, patient = run(batcher, "b"), run(batcher, "c")
        await turns()
        given_up.cancel()
        await turns()
        replica.let_go()
        await asyncio.gather(first, patient)
        assert names_in(replica, 1) == ["c"]

    async def test_a_batch_is_proposed_again_without_its_expired_commands(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.script.append(FailureReason.NO_LEADER)
        replica.hold()
        deadlines = [after(LONG), after(SOON), after(LONG)]
        task = start(batcher.run([order("a"), order("b"), order("c")], deadlines, 60))
        await replica.proposed(1)
        await only_error(run(batcher, "later", seconds=2 * SOON))  # by now b's deadline has passed
        replica.let_go()
        first, error, third = (await task).answers
        assert names_in(replica, 1) == ["a", "c"]
        assert isinstance(error, CallError)
        assert (error.reason, error.definite) == ("NO_LEADER", True)
        assert [first.token.position, third.token.position] == [0, 1]

    async def test_commands_that_expire_one_after_the_other_keep_their_positions(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.script.extend([FailureReason.NO_LEADER, FailureReason.TIMED_OUT])
        replica.hold()
        deadlines = [after(LONG), after(2 * SOON), after(SOON), after(LONG)]
        task = start(batcher.run([order(name) for name in "abcd"], deadlines, 80))
        for attempt in (1, 2):
            await replica.proposed(attempt)
            await only_error(run(batcher, "later", seconds=2 * SOON))
            replica.let_go()
            await replica.proposed(attempt + 1)
            replica.hold()
        replica.let_go()
        answers = (await task).answers
        assert names_in(replica, 2) == ["a", "d"]
        assert [isinstance(answer, CallError) for answer in answers] == [False, True, True, False]
        assert [answer.token.position for answer in answers if isinstance(answer, Result) and answer.token] == [0, 1]

    async def test_a_batch_nobody_waits_for_is_not_proposed_again(self, batcher: Batcher, replica: FakeReplica) -> None:
        replica.script.append(FailureReason.TIMED_OUT)
        replica.hold()
        assert not (await only_error(run(batcher, "a", seconds=SOON))).definite
        replica.let_go()
        await run(batcher, "b")
        assert [names_in(replica, 0), names_in(replica, 1)] == [["a"], ["b"]]


class TestBounds:
    @pytest.fixture
    async def under_way(self, batcher: Batcher, replica: FakeReplica) -> "asyncio.Task[Answers]":
        """A proposal that waits for let_go(), so that what comes after it stays in the queue."""
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        return first

    async def test_a_full_queue_refuses_definitely_and_says_when_to_retry(
        self, batcher: Batcher, replica: FakeReplica, under_way: "asyncio.Task[Answers]"
    ) -> None:
        waiting = await run_many(batcher, MAX_QUEUED // MAX_COMMANDS, *["x"] * MAX_COMMANDS)
        with pytest.raises(CallError) as refused:
            await run(batcher, "e")
        assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (refused.value.definite, refused.value.retry_seconds > 0) == (True, True)
        replica.let_go()
        await asyncio.gather(under_way, *waiting)
        await run(batcher, "e")

    async def test_the_queue_is_bounded_in_bytes_too(
        self, batcher: Batcher, replica: FakeReplica, under_way: "asyncio.Task[Answers]"
    ) -> None:
        waiting = await run_many(batcher, MAX_QUEUED_BYTES // MAX_MESSAGE_BYTES, "b", size=MAX_MESSAGE_BYTES)
        with pytest.raises(CallError, match="queue"):
            await run(batcher, "c", size=1)
        replica.let_go()
        await asyncio.gather(under_way, *waiting)

    async def test_work_that_was_given_up_leaves_its_room(
        self, batcher: Batcher, replica: FakeReplica, under_way: "asyncio.Task[Answers]"
    ) -> None:
        waiting = await run_many(batcher, MAX_QUEUED_BYTES // MAX_MESSAGE_BYTES - 1, "b", size=MAX_MESSAGE_BYTES)
        await only_error(run(batcher, "c", size=MAX_MESSAGE_BYTES, seconds=SOON))
        patient = run(batcher, "d", size=MAX_MESSAGE_BYTES)
        await turns()
        replica.let_go()
        await asyncio.gather(under_way, patient, *waiting)


class TestReads:
    async def test_a_read_alone_proposes_an_entry_without_commands(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        assert await batcher.barrier(after(LONG)) == 1
        assert replica.proposals[0].commands == ()

    async def test_a_read_joins_only_an_entry_proposed_after_it_arrived(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        reads = [start(batcher.barrier(after(LONG))) for _ in range(3)]
        await turns()
        replica.let_go()
        assert (await first).applied_index == 1
        assert await asyncio.gather(*reads) == [2, 2, 2]

    async def test_a_read_overtakes_the_commands_that_do_not_fit_the_next_entry(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        full = [run(batcher, *["x"] * MAX_COMMANDS) for _ in range(2)]
        read = start(batcher.barrier(after(LONG)))
        await turns()
        replica.let_go()
        assert await read == 2
        await asyncio.gather(first, *full)

    async def test_a_read_joins_another_attempt_of_a_batch_that_waits(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.script.append(FailureReason.TIMED_OUT)
        replica.hold()
        first = run(batcher, "a")
        await replica.proposed(1)
        read = start(batcher.barrier(after(LONG)))
        await turns()
        replica.let_go()
        assert (await first).applied_index == await read
        assert len(replica.proposals) == 2

    @pytest.mark.parametrize("reason", [FailureReason.NO_LEADER, FailureReason.TIMED_OUT])
    async def test_a_read_that_fails_is_always_definite(
        self, batcher: Batcher, replica: FakeReplica, reason: FailureReason
    ) -> None:
        replica.always = reason
        with pytest.raises(CallError) as failed:
            await batcher.barrier(after(SOON))
        assert failed.value.definite
        assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, reason.value)


class TestUnconfigured:
    async def test_work_waits_for_the_cluster_to_be_configured(self, batcher: Batcher, replica: FakeReplica) -> None:
        await replica.set(replace(STATUS, parameters=None))
        task = run(batcher, "a")
        await turns()
        assert not replica.proposals
        await replica.set(replace(STATUS, applied_index=1))
        assert (await task).applied_index == 2

    async def test_a_cluster_that_stays_unconfigured_is_unavailable(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        await replica.set(replace(STATUS, parameters=None))
        error = await only_error(run(batcher, "a", seconds=SOON))
        assert (error.code, error.reason, error.definite) == (grpc.StatusCode.UNAVAILABLE, "NOT_CONFIGURED", True)
        with pytest.raises(CallError, match="no parameters"):
            await batcher.barrier(after(SOON))


class TestStop:
    async def test_stop_answers_everything_and_tells_what_was_proposed(
        self, batcher: Batcher, replica: FakeReplica
    ) -> None:
        replica.hold()
        proposed = run(batcher, "a")
        await replica.proposed(1)
        queued = run(batcher, "b")
        await turns()
        await batcher.stop()
        assert not (await only_error(proposed)).definite
        assert (await only_error(queued)).definite
        with pytest.raises(CallError, match="stopping") as refused:
            await run(batcher, "c")
        assert refused.value.definite
        assert not batcher.running

    async def test_a_bug_in_the_replica_is_an_error_of_every_call_not_a_hang(
        self, batcher: Batcher, replica: FakeReplica, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(entry: bytes) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(replica, "propose", broken)
        error = await only_error(run(batcher, "a"))
        assert (error.code, error.definite) == (grpc.StatusCode.INTERNAL, False)
        assert "may have been applied" in error.message
        with pytest.raises(CallError, match=r"bug.*nothing was applied"):
            await run(batcher, "b")
        assert not batcher.running
