"""BackgroundLoop: whatever ends the loop, nobody is left waiting for it."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from lastunit_client import ClientClosedError
from lastunit_client.background import BackgroundLoop


class Owner:
    """Of a loop that is closed by shutdown()."""

    def __init__(self, shutdown: Callable[[], Awaitable[None]]) -> None:
        self.loop = BackgroundLoop(self, shutdown)
        self.begun = threading.Event()
        self.gate = asyncio.Event()

    async def call(self) -> str:
        """Ends as soon as the gate is opened."""
        self.begun.set()
        await self.gate.wait()
        return "answer"

    def called(self) -> "concurrent.futures.Future[str]":
        """The answer to a call that another thread makes, and waits for."""
        answer: concurrent.futures.Future[str] = concurrent.futures.Future()

        def wait() -> None:
            try:
                answer.set_result(self.loop.run(self.call()))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        return answer


async def nothing() -> None:
    """Nothing to close."""


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner(nothing)
    yield owner
    owner.loop.close()


@pytest.mark.parametrize("turns", range(4))
def test_a_call_that_ends_just_before_the_loop_does_has_its_answer(turns: int) -> None:
    """It may be no task any more and not yet told to its caller, when the loop looks for what it has to wait for."""

    async def shutdown() -> None:
        ending.gate.set()
        for _ in range(turns):
            await asyncio.sleep(0)

    ending = Owner(shutdown)
    answer = ending.called()
    assert ending.begun.wait(5)
    ending.loop.close()
    assert answer.result(5) == "answer"


DIES = pytest.mark.filterwarnings("ignore:Exception in thread lastunit-client")


def end_without_winding_down(owner: Owner) -> None:
    """As an error of the loop itself does."""

    def leave() -> None:
        raise SystemExit

    owner.loop._loop.call_soon_threadsafe(leave)


@DIES
def test_a_loop_that_breaks_ends_the_calls_in_it_and_refuses_later_ones(owner: Owner) -> None:
    answer = owner.called()
    assert owner.begun.wait(5)
    end_without_winding_down(owner)
    with pytest.raises(ClientClosedError, match="during the call") as during:
        answer.result(5)
    assert not during.value.definite
    owner.loop._thread.join(5)
    with pytest.raises(ClientClosedError) as after:
        owner.loop.run(owner.call())
    assert after.value.definite


@DIES
def test_a_call_that_is_handed_over_while_the_loop_breaks_is_ended_by_who_hands_it_over(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    handing_over = asyncio.run_coroutine_threadsafe

    def late(work: Any, loop: asyncio.AbstractEventLoop) -> Any:
        handed = handing_over(work, loop)
        assert owner.begun.wait(5)
        end_without_winding_down(owner)
        owner.loop._thread.join(5)
        return handed

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", late)
    with pytest.raises(ClientClosedError, match="during the call"):
        owner.called().result(5)
