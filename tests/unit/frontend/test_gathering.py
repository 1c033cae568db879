"""For which calls an entry waits, in turns of the event loop."""

import asyncio
import random

import pytest

from lastunit_node.frontend.batcher import FIRST_PAUSE, LAST_PAUSE, PRESENT_SECONDS, TURNS, TURNS_A_CALL, Batcher
from lastunit_node.frontend.work import Answers
from lastunit_node.replica.interface import FailureReason

from .batcher_calls import names_in, run
from .fakes import FakeReplica, turns


async def test_calls_that_come_turn_by_turn_share_an_entry_with_as_many_as_shared_the_last_one(
    batcher: Batcher, replica: FakeReplica
) -> None:
    alone = [await run(batcher, name) for name in "ab"]
    assert [answers.applied_index for answers in alone] == [1, 2]

    await asyncio.gather(run(batcher, "c"), run(batcher, "d"), run(batcher, "e"))
    for names in ("fgh", "ijk"):
        late: list[asyncio.Task[Answers]] = []
        for name in names:
            await turns(TURNS_A_CALL)
            late.append(run(batcher, name))
        await turns()  # the last one is back, and nobody waits any more
        assert all(call.done() for call in late)
    entries = [names_in(replica, number) for number in range(2, len(replica.proposals))]
    assert entries == [list("cde"), list("fgh"), list("ijk")]


@pytest.mark.parametrize(
    ("reason", "pauses"),
    [
        (FailureReason.NO_LEADER, [FIRST_PAUSE] * 6),  # a new one is soon seen
        (FailureReason.TIMED_OUT, [0.01, 0.02, 0.04, 0.08, LAST_PAUSE, LAST_PAUSE]),
    ],
)
async def test_pauses_between_attempts_double_up_to_a_bound(
    replica: FakeReplica, reason: FailureReason, pauses: list[float]
) -> None:
    class Pauses(random.Random):
        longest: list[float] = []  # noqa: RUF012

        def uniform(self, _least: float, most: float) -> float:
            self.longest.append(most)
            return 0.0

    replica.script.extend([reason] * 6)
    batcher = Batcher(replica, Pauses())
    batcher.start()
    await run(batcher, "a")
    await batcher.stop()
    assert Pauses.longest == pytest.approx(pauses)


async def test_calls_that_came_during_a_proposal_wait_for_those_that_it_answered(
    batcher: Batcher, replica: FakeReplica
) -> None:
    replica.hold()
    first = run(batcher, "a")
    await replica.proposed(1)
    second = run(batcher, "b")
    replica.let_go()
    await first
    await asyncio.gather(second, run(batcher, "c"))
    assert [names_in(replica, 0), names_in(replica, 1)] == [["a"], ["b", "c"]]


async def test_nobody_waits_for_calls_that_do_not_come(batcher: Batcher, replica: FakeReplica) -> None:
    await asyncio.gather(*(run(batcher, name) for name in "abcdefghijkl"))
    late = run(batcher, "m")
    await turns(TURNS + 12 * TURNS_A_CALL + 4)
    assert late.done()
    assert names_in(replica, 1) == ["m"]


async def test_calls_that_keep_coming_hold_no_entry_up(batcher: Batcher, replica: FakeReplica) -> None:
    await asyncio.gather(*(run(batcher, name) for name in "abcdefghijkl"))
    calls: list[asyncio.Task[Answers]] = []
    between, longest = 2 * TURNS_A_CALL, TURNS + 12 * TURNS_A_CALL
    for number in range(100):
        calls.append(run(batcher, f"x{number}"))
        await turns(between)
        assert sum(not call.done() for call in calls) <= longest / between + 1


async def test_callers_who_were_answered_a_while_ago_are_not_waited_for(
    batcher: Batcher, replica: FakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lone call after 4,096 others had the loop turn for 160 ms."""
    await asyncio.gather(*(run(batcher, name) for name in "abcdefghijkl"))
    loop = asyncio.get_running_loop()
    later = loop.time() + 2 * PRESENT_SECONDS
    monkeypatch.setattr(loop, "time", lambda: later)
    late = run(batcher, "m")
    await turns()
    assert late.done()
    assert names_in(replica, 1) == ["m"]
