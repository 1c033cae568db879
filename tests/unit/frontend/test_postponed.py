"""What the state machine postponed, because it was too much for one entry, goes into a later one."""

import asyncio
from collections.abc import Callable

import pytest

from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.queue import MAX_QUEUED, MAX_RANGES_QUEUED
from lastunit_node.frontend.work import FIRST_BYTES, MAX_RANGES
from lastunit_node.replica.interface import FailureReason
from lastunit_node.statemachine.codec import Malformed
from lastunit_node.statemachine.commands import Command, FencingToken, Reserve, UnitLine, UnitRange
from lastunit_node.statemachine.limits import MAX_COMMANDS
from lastunit_node.statemachine.results import Outcome, Reservation, ReservationState, Result

from .batcher_calls import SOON, names_in, only_error, run
from .fakes import FakeReplica, accept, turns

FULL = MAX_QUEUED // MAX_COMMANDS  # messages fill the queue


def at_most(answered: int) -> Callable[[Command | Malformed, int, int], Result]:
    """Answer so many commands of an entry, and postpone the rest."""

    def answer(command: Command | Malformed, index: int, position: int) -> Result:
        return accept(command, index, position) if position < answered else Result(Outcome.POSTPONED, index)

    return answer


async def test_it_is_proposed_again_behind_the_others(batcher: Batcher, replica: FakeReplica) -> None:
    replica.answer = at_most(2)
    replica.hold()
    first = run(batcher, "a")
    await replica.proposed(1)
    many, other = run(batcher, "b", "c", "d"), run(batcher, "e")
    await turns()
    replica.let_go()
    await asyncio.gather(first, other)
    late = await many
    assert [names_in(replica, number) for number in (0, 1, 2)] == [["a"], ["b", "c", "d", "e"], ["e", "d"]]
    assert [answer.index for answer in late.answers if isinstance(answer, Result)] == [2, 2, 3]
    assert late.applied_index == 3


@pytest.mark.parametrize("large", [1, 2, 3])
async def test_who_stood_behind_what_filled_an_entry_does_not_wait_until_that_is_through(
    batcher: Batcher, replica: FakeReplica, large: int
) -> None:
    """Small orders got no answer for seconds while a message of 50 kB asked for a large order again and again."""

    def answer(command: Command | Malformed, index: int, position: int) -> Result:
        before = [each.reservation_id for each in replica.proposals[-1].commands[:position]]  # type: ignore[union-attr]
        is_full = any(name.startswith("large") for name in before)
        return Result(Outcome.POSTPONED, index) if is_full else accept(command, index, position)

    replica.answer = answer
    replica.hold()
    first = run(batcher, "a")
    await replica.proposed(1)
    much = [run(batcher, *[f"large-{number}-{n}" for n in range(20)]) for number in range(large)]
    small = [run(batcher, f"small-{number}") for number in range(3)]
    await turns()
    replica.let_go()
    await asyncio.gather(*small)
    assert len(replica.proposals) == 1 + large + 1
    await asyncio.gather(first, *much)


async def test_an_entry_carries_twice_as_many_as_the_last_one_was_answered(
    batcher: Batcher, replica: FakeReplica
) -> None:
    """Every node reads all that an entry carries, in each of them, whatever is then postponed."""
    bounds = {1: 2, 2: 3, 3: 99, 4: 99}
    replica.answer = lambda command, index, position: at_most(bounds[index])(command, index, position)
    answers = (await run(batcher, *[f"c{number}" for number in range(20)])).answers
    assert [len(proposal.commands) for proposal in replica.proposals] == [20, 4, 6, 9]
    assert [answer.index for answer in answers if isinstance(answer, Result)] == [1] * 2 + [2] * 3 + [3] * 6 + [4] * 9


async def test_the_first_entry_carries_a_part_of_a_large_message(batcher: Batcher, replica: FakeReplica) -> None:
    answers = (await run(batcher, *[f"c{number}" for number in range(20)], size=5 * FIRST_BYTES // 2)).answers
    assert [len(proposal.commands) for proposal in replica.proposals] == [8, 12]
    assert [answer.index for answer in answers if isinstance(answer, Result)] == [1] * 8 + [2] * 12


@pytest.mark.parametrize(("failures", "definite"), [([], True), ([FailureReason.UNKNOWN], False)])
async def test_it_was_not_applied_unless_by_an_earlier_attempt(
    batcher: Batcher, replica: FakeReplica, failures: list[FailureReason], definite: bool
) -> None:
    replica.answer = at_most(0)
    replica.script.extend(failures)
    assert (await only_error(run(batcher, "a", seconds=SOON))).definite is definite


@pytest.mark.parametrize(("failures", "definite"), [([], True), ([FailureReason.UNKNOWN], False)])
async def test_a_queue_that_is_full_by_then_says_so_too(
    batcher: Batcher, replica: FakeReplica, failures: list[FailureReason], definite: bool
) -> None:
    replica.answer = lambda command, index, position: at_most(0 if index == 1 else MAX_COMMANDS)(
        command, index, position
    )
    replica.script.extend(failures)
    replica.hold()
    first = run(batcher, "a")
    await replica.proposed(1)
    others = [run(batcher, *[f"{number}-{n}" for n in range(MAX_COMMANDS)]) for number in range(FULL)]
    await turns()
    replica.let_go()
    error = await only_error(first)
    assert (error.reason, error.definite) == ("QUEUE_FULL", definite)
    await asyncio.gather(*others)


async def test_what_was_applied_tells_its_index_though_the_rest_was_given_up(
    batcher: Batcher, replica: FakeReplica
) -> None:
    def answer(command: Command | Malformed, index: int, position: int) -> Result:
        return at_most(1 if index == 1 else 0)(command, index, position)

    replica.answer = answer
    answers = await run(batcher, "a", "b", seconds=SOON)
    assert isinstance(answers.answers[0], Result)
    assert isinstance(answers.answers[1], CallError)
    assert answers.applied_index >= answers.answers[0].index == 1


@pytest.mark.parametrize(("failures", "definite"), [([], True), ([FailureReason.UNKNOWN], False)])
async def test_no_more_is_answered_once_the_answers_name_very_many_ranges(
    batcher: Batcher, replica: FakeReplica, failures: list[FailureReason], definite: bool
) -> None:
    units = (UnitLine("vase", (UnitRange(1, 1),) * (MAX_RANGES // 4)),)
    stands = Reservation("a", ReservationState.CONFIRMED, FencingToken(3, 1, 0), 0, 0, (), units)

    def answer(command: Command | Malformed, index: int, position: int) -> Result:
        return at_most(1)(command, index, position)._replace(units=units, reservation=stands)

    replica.answer = answer
    replica.script.extend(failures)
    answers = (await run(batcher, "a", "b", "c", "d")).answers
    assert [isinstance(answer, Result) for answer in answers] == [True, True, False, False]
    assert {(error.reason, error.definite) for error in answers if isinstance(error, CallError)} == {
        ("RESPONSE_FULL", definite)
    }


async def test_answers_that_wait_for_others_take_a_bounded_part_of_memory(
    batcher: Batcher, replica: FakeReplica
) -> None:
    """Of several messages that have less than one may, each; whoever keeps nothing goes on."""
    units = (UnitLine("vase", (UnitRange(1, 1),) * (MAX_RANGES - 1)),)
    fitting = MAX_RANGES_QUEUED // (MAX_RANGES - 1)

    def answer(command: Command | Malformed, index: int, position: int) -> Result:
        assert isinstance(command, Reserve)
        is_small = command.reservation_id.startswith("small")
        is_last = command.reservation_id.endswith("2")
        if index <= fitting + 1 and is_last:
            return Result(Outcome.POSTPONED, index)
        return accept(command, index, position)._replace(units=() if is_small else units)

    replica.answer = answer
    larges = [run(batcher, f"large-{n}-1", f"large-{n}-2") for n in range(fitting + 1)]
    small = run(batcher, "small-1", "small-2")
    answers = [(await large).answers for large in larges]
    assert not [answer for answer in (await small).answers if isinstance(answer, CallError)]
    refused = [answer for (_, answer) in answers if isinstance(answer, CallError)]
    assert [(error.reason, error.definite) for error in refused] == [("QUEUE_FULL", True)]
