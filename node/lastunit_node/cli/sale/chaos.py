"""Act three: what happens to the nodes while the buyers buy. A follower stands still, leaders are killed with -9.

Every step waits for a point of the sale, never for a time. At most one node is away at any moment, so a majority is
always up: a killed leader is started again, and has caught up, before the next one is killed.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from lastunit_node.cli.sale.plan import Choices, SalePlan
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import LeaderKill


class Leader(NamedTuple):
    """Who leads, in which term."""

    node: str
    term: int


class Nodes(Protocol):
    """What may be done to the nodes of the cluster."""

    @property
    def names(self) -> Sequence[str]:
        """All nodes."""
        ...

    async def leader(self, after_term: int = 0) -> Leader:
        """The leader of a term later than that; waits until there is one that has a quorum."""
        ...

    async def kill(self, node: str) -> int:
        """SIGKILL; the process id it had."""
        ...

    async def start(self, node: str) -> int:
        """Start it again and wait until it has caught up; the log index it had to reach."""
        ...

    async def pause(self, node: str) -> None:
        """SIGSTOP."""
        ...

    async def resume(self, node: str) -> None:
        """SIGCONT."""
        ...


class Narrator(Protocol):
    """Who is told what happens."""

    def node_paused(self, node: str, seconds: float, buyers: int) -> None:
        """A follower stood still, and so many buyers call it first."""
        ...

    def act_three(self, kills: int, sold: int) -> None:
        """The first kill comes now, after so many vases."""
        ...

    def killed(self, kill: LeaderKill) -> None:
        """A leader was killed and another one leads."""
        ...

    def started_again(self, node: str, index: int, sold: int) -> None:
        """A killed node has caught up."""
        ...


class Chaos:
    """One sale's misfortunes, in the order of its plan."""

    def __init__(self, plan: SalePlan, nodes: Nodes, progress: Progress, narrator: Narrator) -> None:
        self._plan = plan
        self._nodes = nodes
        self._progress = progress
        self._narrator = narrator
        self._choices: Choices = plan.choices("chaos")
        self._under_way = max(1, plan.expected_sold // 5)  # confirms that may be, when a leader dies

    async def run(self) -> tuple[LeaderKill, ...]:
        """Everything; ends when the last killed node has caught up. Start it before the first buyer confirms."""
        await self._progress.limit_confirms(self._limit_before(0))
        try:
            await self._progress.until(lambda sale: sale.holds > 0)
            await self._pause_a_follower()
            return tuple([await self._kill_and_start(kill) for kill in range(len(self._plan.kill_after))])
        finally:
            await self._progress.limit_confirms(None)  # or the buyers of a sale gone wrong would wait for ever

    def _limit_before(self, kill: int) -> int | None:
        """Confirms that may begin while the nodes are not ready for that kill (numbered from 0): too few for it."""
        return max(0, self._plan.kill_after[kill] - 1) if kill < len(self._plan.kill_after) else None

    def _limit_for(self, kill: int) -> int:
        """Confirms that may begin for that kill: some more than it takes, never so many that the sale could be over."""
        return min(self._plan.kill_after[kill] + self._under_way, self._plan.expected_sold - 1)

    async def _pause_a_follower(self) -> None:
        leader = await self._nodes.leader()
        follower = self._choices.stream.choice([name for name in self._nodes.names if name != leader.node])
        seconds = self._choices.node_pause()
        await self._nodes.pause(follower)
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._nodes.resume(follower)
        home = self._nodes.names.index(follower)
        self._narrator.node_paused(follower, seconds, sum(buyer.home == home for buyer in self._plan.buyers))

    async def _kill_and_start(self, number: int) -> LeaderKill:
        await self._progress.limit_confirms(self._limit_for(number))
        await self._progress.until(lambda sale: sale.placed >= self._plan.kill_after[number])
        kill = await self._kill_leader(number)
        self._narrator.killed(kill)
        await self._sell_without_it(kill.sold, self._limit_before(number + 1))
        index = await self._nodes.start(kill.node)
        self._narrator.started_again(kill.node, index, self._progress.placed)
        return kill

    async def _kill_leader(self, number: int) -> LeaderKill:
        leader = await self._nodes.leader()
        sold = self._progress.placed
        if number == 0:
            self._narrator.act_three(len(self._plan.kill_after), sold)
        killed_at = time.monotonic()  # kill() returns when it is gone: others may lead by then
        pid = await self._nodes.kill(leader.node)
        await self._progress.limit_confirms(self._limit_before(number + 1))
        following = await self._nodes.leader(after_term=leader.term)
        seconds = time.monotonic() - killed_at
        return LeaderKill(leader.node, pid, leader.term, sold, following.node, following.term, seconds)

    async def _sell_without_it(self, sold: int, limit: int | None) -> None:
        """Let the majority sell at least one more vase before the killed node returns, where the limit allows it."""
        enough = sold + 1 if limit is None else min(sold + 1, limit)
        await self._progress.until(lambda sale: sale.placed >= enough)
