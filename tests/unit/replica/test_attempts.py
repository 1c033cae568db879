"""Proposals without an outcome are given up in time, each by its own beginning, and nothing of the others is kept."""

import asyncio
from collections.abc import Callable

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
        assert asyncio.get_running_loop().time() - began >= SECONDS - 0.002
        attempts.forget_ended()
    assert not attempts._waiting


async def test_each_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers, now = asyncio.get_running_loop(), list[tuple[float, Callable[[], None]]](), 0.0
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop, "call_later", lambda delay, call: timers.append((now + delay, call)))
    attempts = Attempts(1.0)
    first = attempts.begin()
    now = 0.5
    second = attempts.begin()
    (now, look), *_ = timers
    look()
    assert (now, first.done(), second.done()) == (1.0, True, False)
    _, (now, look) = timers
    look()
    assert (now, second.done()) == (1.5, True)
    assert first.exception()
    assert second.exception()
    assert len(timers) == 2, "nothing is left to wait for"


async def test_outcomes_are_not_kept_and_those_who_gave_up_are_left_alone() -> None:
    attempts = Attempts(SECONDS)
    done, cancelled, waiting = attempts.begin(), attempts.begin(), attempts.begin()
    done.set_result(DONE)
    cancelled.cancel()
    attempts.forget_ended()
    assert [future for _, future in attempts._waiting] == [waiting]
    await asyncio.wait([waiting])
    assert done.result() == DONE
    assert cancelled.cancelled()
    assert waiting.exception()


async def test_an_outcome_behind_one_that_never_came_does_not_stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers, now = asyncio.get_running_loop(), list[Callable[[], None]](), 0.0
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop, "call_later", lambda _delay, call: timers.append(call))
    attempts = Attempts(1.0)
    first, done = attempts.begin(), attempts.begin()
    done.set_result(DONE)
    now = 1.0
    timers[0]()
    assert (first.done(), done.result()) == (True, DONE)
    last = attempts.begin()
    now = 2.0
    timers[-1]()
    assert last.done()
    assert first.exception()
    assert last.exception()


async def test_one_timer_is_enough_for_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    monkeypatch.setattr(loop, "call_later", lambda delay, _call: timers.append(delay))
    attempts = Attempts(SECONDS)
    for _ in range(100):
        attempts.begin().set_result(DONE)
        attempts.forget_ended()
    assert timers == [SECONDS]
