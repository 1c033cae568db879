"""Three etcd members as a target of failover.py, by the same loop as our own nodes."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.etcd import PROGRAM, EtcdMembers

from chaos.targets import Leader, Target, kill_now

__all__ = ["PROGRAM", "Etcd", "etcd_cluster"]


class Etcd:
    """See targets.Target."""

    def __init__(self, members: EtcdMembers) -> None:
        self.nodes = members.nodes
        self._members = members
        self._killed: set[str] = set()

    async def start(self, node: str) -> None:
        """Start one member."""
        if node in self._killed:
            self._killed.discard(node)
            await asyncio.to_thread(self._members.kill, node)  # which waits until it is gone
        await asyncio.to_thread(self._members.start, node)

    async def kill(self, node: str) -> float:
        """See Target."""
        self._killed.add(node)
        return kill_now(self._members.pid(node))

    async def write(self, node: str) -> int | None:
        """Put one key. The term is that of the newest entry that the member had applied when it answered."""
        key = base64.b64encode(node.encode()).decode()
        answer = await self._members.post(node, "/v3/kv/put", {"key": key, "value": key})
        return int(answer["header"]["raft_term"]) if answer else None

    async def leader(self) -> Leader | None:
        """Who leads, once all members agree on it."""
        found = await self._members.leader()
        return Leader(*found) if found else None


@asynccontextmanager
async def etcd_cluster(folder: Path, heartbeat_ms: int, election_ms: int) -> AsyncIterator[Target]:
    """Three members with these timers; gone after the block."""
    members = EtcdMembers(folder, heartbeat_ms, election_ms)
    target = Etcd(members)
    try:
        for node in target.nodes:
            await target.start(node)
        yield target
    finally:
        members.close()
