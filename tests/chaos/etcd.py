"""Three etcd members on this machine, to be measured by the same loop; spoken to by its JSON gateway."""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chaos.targets import Leader, Target
from lastunit_node.cli.sale.cluster import free_ports

PROGRAM = shutil.which("etcd")
LIMIT_S = 2.0


class Etcd:
    """See targets.Target."""

    def __init__(self, folder: Path, heartbeat_ms: int, election_ms: int) -> None:
        ports = free_ports()
        self.nodes: tuple[str, ...] = ("e1", "e2", "e3")
        self._folder = folder
        self._client_ports = {node: next(ports) for node in self.nodes}
        self._peers = {node: f"http://127.0.0.1:{next(ports)}" for node in self.nodes}
        self._timers = [f"--heartbeat-interval={heartbeat_ms}", f"--election-timeout={election_ms}"]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, node: str) -> None:
        """Start one member."""
        await asyncio.to_thread(self._start, node)

    def _start(self, node: str) -> None:
        at = f"http://127.0.0.1:{self._client_ports[node]}"
        command = [
            str(PROGRAM),
            f"--name={node}",
            f"--data-dir={self._folder / node}",
            f"--listen-client-urls={at}",
            f"--advertise-client-urls={at}",
            f"--listen-peer-urls={self._peers[node]}",
            f"--initial-advertise-peer-urls={self._peers[node]}",
            "--initial-cluster=" + ",".join(f"{name}={url}" for name, url in self._peers.items()),
            *self._timers,
        ]
        self._folder.mkdir(exist_ok=True)
        with (self._folder / f"{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    async def kill(self, node: str) -> None:
        """SIGKILL."""
        process = self._processes.pop(node)
        process.kill()
        await asyncio.to_thread(process.wait)

    async def write(self, node: str) -> int | None:
        """Put one key."""
        key = base64.b64encode(node.encode()).decode()
        answer = await self._post(node, "/v3/kv/put", {"key": key, "value": key})
        return int(answer["header"]["raft_term"]) if answer else None

    async def leader(self) -> Leader | None:
        """Who leads, once all members agree on it."""
        answers = await asyncio.gather(*(self._post(node, "/v3/maintenance/status", {}) for node in self.nodes))
        said = {answer.get("leader", "0") for answer in answers if answer}
        names = {
            answer["header"]["member_id"]: node for node, answer in zip(self.nodes, answers, strict=True) if answer
        }
        if len(names) < len(self.nodes) or len(said) != 1 or (leader := said.pop()) not in names:
            return None
        return Leader(names[leader], max(int(answer["raftTerm"]) for answer in answers if answer))

    async def _post(self, node: str, path: str, body: dict[str, str]) -> dict[str, Any] | None:
        """One HTTP request on a connection of its own; None where it fails, or takes too long."""
        try:
            async with asyncio.timeout(LIMIT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._client_ports[node])
                try:
                    content = json.dumps(body)
                    head = f"POST {path} HTTP/1.0\r\nHost: {node}\r\nContent-Length: {len(content)}\r\n\r\n"
                    writer.write((head + content).encode())
                    status, _, answer = (await reader.read()).partition(b"\r\n\r\n")
                finally:
                    writer.close()
            read: dict[str, Any] = json.loads(answer)
            return read if b" 200 " in status.splitlines()[0] else None
        except (OSError, ValueError, IndexError, TimeoutError):
            return None

    async def close(self) -> None:
        """Kill what runs."""
        for node in list(self._processes):
            await self.kill(node)


@asynccontextmanager
async def etcd_cluster(folder: Path, heartbeat_ms: int, election_ms: int) -> AsyncIterator[Target]:
    """Three members with these timers; gone after the block."""
    etcd = Etcd(folder, heartbeat_ms, election_ms)
    try:
        for node in etcd.nodes:
            await etcd.start(node)
        yield etcd
    finally:
        await etcd.close()
