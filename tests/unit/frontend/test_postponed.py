"""What the state machine postponed, because it was too much for one entry, goes into a later one."""

import asyncio
from collections.abc import Callable

import pytest

from lastunit_node.frontend.batcher import Batcher
from lastunit_node.replica.interface import FailureReason
from lastunit_node.statemachine.codec import Malformed
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.results import Outcome, Result

from .batcher_calls import SOON, names_in, only_error, run
from .fakes import FakeReplica, accept, turns


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
    assert [names_in(replica, number) for number in (0, 1, 2)] == [["a"], ["b", "c", "d", "e"], ["d", "e"]]
    assert [answer.index for answer in late.answers if isinstance(answer, Result)] == [2, 2, 3]
    assert late.applied_index == 3


@pytest.mark.parametrize(("failures", "definite"), [([], True), ([FailureReason.UNKNOWN], False)])
async def test_it_was_not_applied_unless_by_an_earlier_attempt(
    batcher: Batcher, replica: FakeReplica, failures: list[FailureReason], definite: bool
) -> None:
    replica.answer = at_most(0)
    replica.script.extend(failures)
    assert (await only_error(run(batcher, "a", seconds=SOON))).definite is definite
