"""Calls of a batcher, as tests make them, and what the replica got of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.errors import CallError
from lastunit_node.frontend.work import Answers
from lastunit_node.statemachine.commands import Command, Line, Reserve

from .fakes import FakeReplica, turns

SOON, LATER, LONG = 0.05, 0.5, 30.0  # seconds from now


def order(name: str) -> Reserve:
    return Reserve(name, (Line("vase", 1),), 0)


def after(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def run(batcher: Batcher, *names: str, seconds: float = LONG, size: int = 20) -> "asyncio.Task[Answers]":
    commands: list[Command] = [order(name) for name in names]
    return start(batcher.run(commands, [after(seconds)] * len(names), size))


async def run_many(batcher: Batcher, count: int, *names: str, size: int = 20) -> "list[asyncio.Task[Answers]]":
    """As many runs, each begun when the batcher had its time with the one before."""
    tasks = []
    for _ in range(count):
        tasks.append(run(batcher, *names, size=size))
        await turns()
    return tasks


def start(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work)


def names_in(replica: FakeReplica, proposal: int) -> list[str]:
    return [command.reservation_id for command in replica.proposals[proposal].commands]  # type: ignore[union-attr]


async def only_error(task: "asyncio.Task[Answers]") -> CallError:
    (answer,) = (await task).answers
    assert isinstance(answer, CallError)
    return answer
