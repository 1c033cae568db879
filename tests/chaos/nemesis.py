"""Lets faults loose on a cluster: seeded, bounded, several at a time, and in the end everything is undone.

A seed repeats the plan (which fault, when, for how long); whom it hits may depend on who leads by then. A node is in
the hands of one fault at a time, links and clocks are not. Only processes that the cluster started are touched.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chaos.cluster import ChaosCluster
from chaos.history import FaultRecord, HistoryWriter
from chaos.proxy import CLIENTS
from chaos.verdict import Verdict
from lastunit_node.cli.errors import LocalClusterError
from lastunit_node.cli.processes import ProcessState

MOST_AT_ONCE = 3
LOOK_S = 0.1
LEADER_LIMIT_S = 3.0
LOG_LINES = 15
ADMIT_LIMIT_S = 60.0
FILL_LIMIT_S = 20.0


@dataclass
class Hit:
    """What one fault did; filled in while it lasts."""

    name: str
    nodes: tuple[str, ...]
    term: int = 0
    detail: str = ""


class Nemesis:
    """Strikes until it is stopped. `every_s`: mean time from one strike to the next."""

    def __init__(
        self,
        cluster: ChaosCluster,
        writer: HistoryWriter,
        verdict: Verdict,
        now: Callable[[], float],
        *,
        seed: int,
        every_s: float,
        longest_s: float = 10.0,
    ) -> None:
        self._cluster, self._writer, self._verdict, self._now = cluster, writer, verdict, now
        self._rng = random.Random(f"{seed} nemesis")
        self._every_s, self._longest_s = every_s, longest_s
        self._taken: set[str] = set()  # nodes in the hands of a fault; they may be down
        self._wiping = False  # a second disk is not wiped before the first one counts again
        self._stop = asyncio.Event()
        self._striking: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Strike until `stop`; then wait until every fault is over, and heal what is left."""
        watch = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self._relay(stop))
        try:
            while not self._stop.is_set():
                await self._pause(self._rng.expovariate(1 / self._every_s))
                if len(self._striking) < MOST_AT_ONCE and not self._stop.is_set():
                    self._strike()
            await asyncio.gather(*self._striking)
        finally:
            for task in (watch, stopping, *self._striking):
                task.cancel()
            await asyncio.gather(watch, stopping, *self._striking, return_exceptions=True)
            self._cluster.network.heal()
        await asyncio.to_thread(self._revive)

    async def _relay(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stop.set()

    async def _pause(self, seconds: float) -> None:
        """Wait; less when everything is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def _strike(self) -> None:
        kinds: dict[Callable[[random.Random], Awaitable[None]], float] = {
            self._kill_leader: 7,
            self._kill_follower: 2,
            self._kill_majority: 0.7,
            self._kill_all: 0.4,
            self._pause_leader: 2.5,
            self._pause_follower: 1,
            self._cut_pair: 1,
            self._cut_one_way: 1,
            self._isolate: 1.5,
            self._delay: 1,
            self._reset: 1.5,
            self._trouble_clients: 1.5,
            self._move_clock: 1.5,
            self._restart_all: 0.4,
            self._fill_disk: 0.5 if self._cluster.small_disk else 0,
            self._wipe: 0.5,
        }
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        task = asyncio.create_task(self._guarded(kind, random.Random(self._rng.random())))
        self._striking.add(task)
        task.add_done_callback(self._striking.discard)

    async def _guarded(self, kind: Callable[[random.Random], Awaitable[None]], rng: random.Random) -> None:
        try:
            await kind(rng)
        except (LocalClusterError, OSError) as problem:
            self._verdict.add("process", f"{kind.__name__.strip('_')} could not do its work: {problem}")

    @asynccontextmanager
    async def _fault(self, name: str, *nodes: str, term: int = 0, take: bool = False) -> AsyncIterator[Hit]:
        """A fault from now to the end of the block. `take`: the nodes are in its hands meanwhile."""
        hit, began_at = Hit(name, nodes, term), self._now()
        self._taken.update(nodes if take else ())
        try:
            yield hit
        finally:
            self._taken.difference_update(nodes if take else ())
            self.counts[name] += 1
            self._writer.add(
                FaultRecord(
                    name=hit.name,
                    nodes=hit.nodes,
                    began_at=began_at,
                    ended_at=self._now(),
                    term=hit.term,
                    detail=hit.detail,
                )
            )

    # Whom.

    def _free(self) -> list[str]:
        return [node for node in self._cluster.nodes if node not in self._taken]

    async def _leader(self) -> tuple[str, int] | None:
        """The node that leads and its term, if there is one soon that is in nobody's hands."""
        deadline = self._now() + LEADER_LIMIT_S
        while self._now() < deadline and not self._stop.is_set():
            statuses = await asyncio.to_thread(self._cluster.statuses, 0.5)
            leaders = [
                (one.term or 0, one.node) for one in statuses.values() if one.role == "leader" and one.has_quorum
            ]
            term, node = max(leaders, default=(0, ""))
            if node and node not in self._taken:
                return node, term
            await asyncio.sleep(LOOK_S)
        return None

    async def _follower(self, rng: random.Random) -> str | None:
        leader = await self._leader()
        free = [node for node in self._free() if leader is None or node != leader[0]]
        return rng.choice(free) if free else None

    # Processes.

    async def _kill_leader(self, rng: random.Random) -> None:
        leader = await self._leader()
        if leader is not None:
            async with self._fault("kill leader", leader[0], term=leader[1], take=True):
                await self._kill_for(rng.uniform(0.1, 3.0), leader[0])

    async def _kill_follower(self, rng: random.Random) -> None:
        node = await self._follower(rng)
        if node is not None and node not in self._taken:
            async with self._fault("kill follower", node, take=True):
                await self._kill_for(rng.uniform(0.1, 3.0), node)

    async def _kill_majority(self, rng: random.Random) -> None:
        free = self._free()
        count = len(self._cluster.nodes) // 2 + 1
        if len(free) >= count:
            nodes = rng.sample(free, count)
            async with self._fault("kill majority", *nodes, take=True):
                await self._kill_for(rng.uniform(0.1, 1.5), *nodes)

    async def _kill_all(self, rng: random.Random) -> None:
        if len(self._free()) == len(self._cluster.nodes):
            async with self._fault("kill all", *self._cluster.nodes, take=True):
                await self._kill_for(rng.uniform(0.1, 1.0), *self._cluster.nodes)

    async def _kill_for(self, seconds: float, *nodes: str) -> None:
        await asyncio.gather(*(asyncio.to_thread(self._cluster.kill, node) for node in nodes))
        await self._pause(seconds)
        for node in nodes:
            await asyncio.to_thread(self._cluster.start, node)

    async def _pause_leader(self, rng: random.Random) -> None:
        leader = await self._leader()
        if leader is not None:
            async with self._fault("pause leader", leader[0], term=leader[1], take=True):
                await self._pause_for(self._length(rng), leader[0])

    async def _pause_follower(self, rng: random.Random) -> None:
        node = await self._follower(rng)
        if node is not None and node not in self._taken:
            async with self._fault("pause follower", node, take=True):
                await self._pause_for(self._length(rng), node)

    async def _pause_for(self, seconds: float, node: str) -> None:
        await asyncio.to_thread(self._cluster.pause, node)
        try:
            await self._pause(seconds)
        finally:
            await asyncio.to_thread(self._cluster.resume, node)

    async def _restart_all(self, rng: random.Random) -> None:
        """SIGTERM and a new start, one node after the other."""
        if len(self._free()) < len(self._cluster.nodes):
            return
        async with self._fault("rolling restart", *self._cluster.nodes, take=True):
            for node in rng.sample(self._cluster.nodes, len(self._cluster.nodes)):
                await asyncio.to_thread(self._cluster.stop, node)
                await asyncio.to_thread(self._cluster.start, node)
                await self._serving(node)

    async def _serving(self, node: str) -> None:
        """Give it some time to serve; links may be cut meanwhile."""
        try:
            await asyncio.to_thread(self._cluster.wait_serving, 5.0, [node])
        except LocalClusterError:
            if self._cluster.state(node) is ProcessState.DOWN:
                raise

    # Links.

    def _length(self, rng: random.Random) -> float:
        return min(self._longest_s, rng.choice([rng.uniform(0.1, 1.0), rng.uniform(1.0, 4.0), rng.uniform(4.0, 10.0)]))

    async def _cut(self, name: str, nodes: tuple[str, ...], pairs: list[tuple[str, str]], seconds: float) -> None:
        async with self._fault(name, *nodes) as hit:
            hit.detail = " ".join(f"{source}>{target}" for source, target in pairs)
            for pair in pairs:
                self._cluster.network.flows[pair].cut()
            try:
                await self._pause(seconds)
            finally:
                for pair in pairs:
                    self._cluster.network.flows[pair].heal()

    async def _cut_pair(self, rng: random.Random) -> None:
        one, other = rng.sample(self._cluster.nodes, 2)
        await self._cut("cut", (one, other), [(one, other), (other, one)], self._length(rng))

    async def _cut_one_way(self, rng: random.Random) -> None:
        one, other = rng.sample(self._cluster.nodes, 2)
        await self._cut("cut one way", (one, other), [(one, other)], self._length(rng))

    async def _isolate(self, rng: random.Random) -> None:
        leader = await self._leader()
        node = leader[0] if leader and rng.random() < 0.5 else rng.choice(self._cluster.nodes)
        await self._cut("isolate", (node,), self._cluster.network.pairs_of(node), self._length(rng))

    async def _delay(self, rng: random.Random) -> None:
        node = rng.choice(self._cluster.nodes)
        await self._slow("delay", node, self._cluster.network.pairs_of(node), rng)

    async def _slow(self, name: str, node: str, pairs: list[tuple[str, str]], rng: random.Random) -> None:
        async with self._fault(name, node) as hit:
            delay_s = rng.choice([0.01, 0.05, 0.2])
            hit.detail = f"{delay_s * 1000:g} ms"
            flows = [self._cluster.network.flows[pair] for pair in pairs]
            for flow in flows:
                flow.delay_s = delay_s
            await self._pause(self._length(rng))
            for flow in flows:
                flow.delay_s = 0.0

    async def _reset(self, rng: random.Random) -> None:
        one, other = rng.sample(self._cluster.nodes, 2)
        async with self._fault("reset", one, other):
            self._cluster.network.reset(one, other)

    async def _trouble_clients(self, rng: random.Random) -> None:
        node = rng.choice(self._cluster.nodes)
        both = [(CLIENTS, node), (node, CLIENTS)]
        dice = rng.random()
        if dice < 0.4:
            async with self._fault("reset clients", node):
                self._cluster.network.reset(CLIENTS, node)
        elif dice < 0.7:
            await self._cut("cut clients", (node,), rng.choice([both, both[:1], both[1:]]), self._length(rng))
        else:
            await self._slow("delay clients", node, both, rng)

    # Clocks and disks.

    async def _move_clock(self, rng: random.Random) -> None:
        node = rng.choice(self._cluster.nodes)
        async with self._fault("move clock", node) as hit:
            hours = rng.choice([-1, 1]) * round(rng.uniform(1, 48), 1)
            hit.detail = f"{hours:+g} h"
            self._cluster.move_clock(node, hours)
            await self._pause(self._length(rng))
            self._cluster.move_clock(node, rng.choice([0, hours, -hours]))

    async def _fill_disk(self, rng: random.Random) -> None:
        """No room left, until the node ends for it; then room again, and a new start."""
        node = self._cluster.small_disk
        if node in self._taken:
            return
        async with self._fault("full disk", node, take=True) as hit:
            ballast = await asyncio.to_thread(self._cluster.fill_disk)
            deadline = self._now() + FILL_LIMIT_S
            while self._cluster.state(node) is not ProcessState.DOWN and self._now() < deadline:
                if self._stop.is_set():
                    break
                await asyncio.sleep(LOOK_S)
            ballast.unlink()
            ended = self._cluster.state(node) is ProcessState.DOWN
            hit.detail = "the node ended" if ended else "the node had room enough"
            if ended:
                self._judge_full(node)
                await asyncio.to_thread(self._cluster.start, node)

    def _judge_full(self, node: str) -> None:
        said = self._cluster.log_tail(node, LOG_LINES)
        if "disk" not in said:
            self._verdict.add("process", f"{node} ended on a full disk without saying so:\n{said}")

    async def _wipe(self, rng: random.Random) -> None:
        """A lost disk. One at a time: a majority of disks has what was acknowledged."""
        free = [node for node in self._free() if node != self._cluster.small_disk]
        if not free or self._wiping:
            return
        node = rng.choice(free)
        self._wiping = True
        async with self._fault("wipe", node, take=True):
            await asyncio.to_thread(self._cluster.kill, node)
            await asyncio.to_thread(self._cluster.wipe, node)
            await asyncio.to_thread(self._cluster.start, node)
            self._wiping = not await self._admitted(node)

    async def _admitted(self, node: str) -> bool:
        """It counts again when it is admitted; how long that takes depends on the other faults."""
        deadline = self._now() + ADMIT_LIMIT_S
        while self._now() < deadline:
            status = await asyncio.to_thread(self._cluster.status, node, 0.5)
            if status.is_admitted:
                return True
            if self._cluster.state(node) is ProcessState.DOWN:
                raise LocalClusterError(f"{node} ended:\n{self._cluster.log_tail(node, LOG_LINES)}")
            await asyncio.sleep(LOOK_S)
        return False

    # Watching.

    async def _watch(self) -> None:
        """A node that is in nobody's hands does not end by itself."""
        while True:
            for node in self._free():
                down = await asyncio.to_thread(self._cluster.state, node) is ProcessState.DOWN
                if down and node not in self._taken:
                    said = self._cluster.log_tail(node, LOG_LINES)
                    self._verdict.add("process", f"{node} ended by itself at {self._now():.1f} s:\n{said}")
                    await asyncio.to_thread(self._cluster.start, node)
            await asyncio.sleep(LOOK_S)

    def _revive(self) -> None:
        """Every node runs."""
        for node in self._cluster.nodes:
            match self._cluster.state(node):
                case ProcessState.DOWN:
                    self._cluster.start(node)
                case ProcessState.PAUSED:
                    self._cluster.resume(node)
