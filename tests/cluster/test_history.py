"""The log makes linearizability cheap to check: every result names its index.

Buyers place, hold, confirm and release at all nodes while leaders are killed and paused. Then the journal of one node
is replayed on a fresh state machine, and every answer that a buyer got must be the one that the log gives at the index
it names; what one buyer was answered before another one asked must stand earlier in the log; an id has one effect.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from support.real_cluster import assert_nodes_agree, client, eventually, leader_of

from lastunit_client import AsyncInventoryClient, CommandResult, Outcome
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.datadir import DataDirectory
from lastunit_node.statemachine.codec import DecodedEntry, decode_entry
from lastunit_node.statemachine.commands import Command
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Result

MakeCluster = Callable[..., LocalCluster]

SKUS = ("vase", "mug", "bowl")
BUYERS = 12
STEPS = 40


class Answered(NamedTuple):
    """One call that got an answer, between two moments of one monotonic clock."""

    begin: float
    end: float
    kind: str
    result: CommandResult


class Buyer:
    """Makes random calls, and writes down what was answered and when."""

    def __init__(self, cluster: LocalCluster, number: int, history: list[Answered]) -> None:
        self._cluster = cluster
        self._number = number
        self._history = history
        self._random = random.Random(number)

    async def run(self) -> None:
        async with client(self._cluster, first=self._number, timeout=20.0) as buyer:
            for step in range(STEPS):
                await self._step(buyer, f"b{self._number}-{step}")

    async def _step(self, buyer: AsyncInventoryClient, reservation_id: str) -> None:
        lines = {sku: self._random.randint(1, 3) for sku in self._random.sample(SKUS, 2)}
        if self._random.random() < 0.3:
            await self._call("PlaceOrder", buyer.place_order(lines, reservation_id=reservation_id))
            return
        held = await self._call("Reserve", buyer.reserve(lines, reservation_id=reservation_id, hold_ticks=20))
        if held.outcome is not Outcome.RESERVED or held.token is None:
            return
        if self._random.random() < 0.5:
            await self._call("Release", buyer.release(reservation_id, held.token))
        else:
            await self._call("Confirm", buyer.confirm(reservation_id, held.token))

    async def _call(self, kind: str, call: Awaitable[CommandResult]) -> CommandResult:
        begin = time.monotonic()
        result = await call
        self._history.append(Answered(begin, time.monotonic(), kind, result))
        return result


async def until_answered(history: list[Answered], goal: int) -> None:
    await eventually(lambda: len(history) >= goal, "the buyers make progress", 60.0)


async def make_trouble(cluster: LocalCluster, history: list[Answered]) -> None:
    """Kill a leader, pause the next one, kill again: each once the buyers have made some progress."""
    for number, is_kill in enumerate((True, False, True)):
        await until_answered(history, 60 * (number + 1))
        leader = await leader_of(cluster)
        await asyncio.to_thread(cluster.kill if is_kill else cluster.pause, leader)
        await leader_of(cluster, excluding=leader)
        await asyncio.to_thread(cluster.start if is_kill else cluster.resume, leader)
        await asyncio.to_thread(cluster.wait_serving)


async def test_every_answer_is_the_one_that_the_log_gives(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    history: list[Answered] = []
    async with client(cluster) as seller:
        await seller.receive_stock(dict.fromkeys(SKUS, 150))
    trouble = asyncio.create_task(make_trouble(cluster, history))
    await asyncio.gather(*(Buyer(cluster, number, history).run() for number in range(BUYERS)))
    await trouble
    await assert_nodes_agree(cluster)
    await asyncio.to_thread(cluster.down)
    answers = list(replay(cluster, tmp_path))
    check_answers(history, answers)
    check_order(history)
    check_one_effect(answers)


def replay(cluster: LocalCluster, folder: Path) -> Iterator[tuple[str, str, Result]]:
    """(kind, id, result) of every command in the first node's log, applied to a fresh state."""
    node = cluster.nodes[0]
    directory = DataDirectory(cluster.config.node_dir(node), cluster.config.cluster, cluster.nodes, node)
    journal, state = directory.open_journal(), open_state(folder / "replay.db", identity=Identity("replay", node))
    machine = StateMachine(state)
    for data, index, term in journal.entries(1, journal.last_index + 1):
        entry = decode_entry(data)
        applied = machine.apply(index, term, data)
        if isinstance(entry, DecodedEntry):
            for command, result in zip(entry.commands, applied.results, strict=True):
                assert isinstance(command, Command)
                yield type(command).__name__, str(command[0]), result
    machine.commit()
    state.close()
    journal.close()


def check_answers(history: list[Answered], answers: list[tuple[str, str, Result]]) -> None:
    """Each answer stands in the log, at the index that it names, with the same outcome, token and units."""
    in_log = {(kind, request_id, result.index): result for kind, request_id, result in answers}
    assert len(history) > BUYERS * STEPS
    for answered in history:
        result = answered.result
        logged = in_log[answered.kind, result.request_id, result.result_index]
        assert result.outcome.value == logged.outcome
        assert (result.token and (result.token.term, result.token.index, result.token.position)) == logged.token
        assert [(line.sku, [(units.first, units.last) for units in line.ranges]) for line in result.units] == [
            (line.sku, [tuple(units) for units in line.ranges]) for line in logged.units
        ]


def check_order(history: list[Answered]) -> None:
    """Real-time order agrees with the order of the log."""
    by_end = sorted(history, key=lambda answered: answered.end)
    latest, ended = 0, 0
    for answered in sorted(history, key=lambda answered: answered.begin):
        while by_end[ended].end < answered.begin:
            latest = max(latest, by_end[ended].result.result_index)
            ended += 1
        assert answered.result.result_index >= latest


def check_one_effect(answers: list[tuple[str, str, Result]]) -> None:
    """Whatever was proposed again, an id took units once."""
    effects = [
        request_id
        for kind, request_id, result in answers
        if kind in ("Reserve", "PlaceOrder") and result.outcome.name in ("RESERVED", "ORDER_PLACED")
        if not result.replayed
    ]
    assert len(effects) == len(set(effects))
