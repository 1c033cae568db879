"""Proposals without an outcome are given up in time, each by its own beginning, and nothing of the others is kept."""

import asyncio

import pytest

from lastunit_node.replica.attempts import Attempts
from lastunit_node.replica.interface import FailureReason, ProposalFailed
from lastunit_node.statemachine.results import Applied

SECONDS = 0.05
DONE = Applied(1, 1, 1, ())


async def test_an_attempt_without_an_outcome_fails_in_time() -> None:
    attempts = Attempts(SECONDS)
    for _ in range(2):  # the timer is set again
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProposalFailed) as failed:
            await attempts.begin()
        assert failed.value.reason is FailureReason.TIMED_OUT
        assert SECONDS - 0.002 <= asyncio.get_running_loop().time() - began < 10 * SECONDS
        attempts.forget_ended()
    assert not attempts._waiting


async def test_each_has_its_own_time() -> None:
    attempts = Attempts(SECONDS)
    first = attempts.begin()
    await asyncio.sleep(SECONDS / 2)
    second = attempts.begin()
    await asyncio.wait([first])
    assert first.exception()
    assert not second.done()
    await asyncio.wait([second])
    assert second.exception()


async def test_outcomes_are_not_kept_and_those_who_gave_up_are_left_alone() -> None:
    attempts = Attempts(SECONDS)
    done, cancelled, waiting = attempts.begin(), attempts.begin(), attempts.begin()
    done.set_result(DONE)
    cancelled.cancel()
    attempts.forget_ended()
    assert [future for _, future in attempts._waiting] == [waiting]
    await asyncio.sleep(2 * SECONDS)
    assert done.result() == DONE
    assert cancelled.cancelled()
    assert waiting.exception()


async def test_one_timer_is_enough_for_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    monkeypatch.setattr(loop, "call_later", lambda delay, _call: timers.append(delay))
    attempts = Attempts(SECONDS)
    for _ in range(100):
        attempts.begin().set_result(DONE)
        attempts.forget_ended()
    assert timers == [SECONDS]
