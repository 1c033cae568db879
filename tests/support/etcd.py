"""Three etcd members on this machine, to be measured beside our nodes. Spoken to here by the JSON gateway."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from lastunit_node.cli.sale.cluster import free_ports
from support.programs import Program

PROGRAM = shutil.which("etcd")
LIMIT_S = 2.0


class EtcdMembers:
    """Members e1, e2 and e3, on free ports, with the data and logs in `folder`; none runs yet.

    Timers are etcd's own unless given. Nothing is said about fsync: etcd does it before it answers.
    """

    def __init__(self, folder: Path, heartbeat_ms: int = 100, election_ms: int = 1000) -> None:
        ports = free_ports()
        self.nodes: tuple[str, ...] = ("e1", "e2", "e3")
        self._folder = folder
        self._client_ports = {node: next(ports) for node in self.nodes}
        self._peers = {node: f"http://127.0.0.1:{next(ports)}" for node in self.nodes}
        self._timers = [f"--heartbeat-interval={heartbeat_ms}", f"--election-timeout={election_ms}"]
        self._programs: dict[str, Program] = {}

    def endpoint(self, node: str) -> str:
        """Where clients reach a member: host:port, for gRPC and for the gateway."""
        return f"127.0.0.1:{self._client_ports[node]}"

    def start(self, node: str) -> None:
        """Start one member."""
        at = f"http://{self.endpoint(node)}"
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
        self._programs[node] = Program(command, self._folder / f"{node}.log")

    def pid(self, node: str) -> int:
        """The process id of a member that was started."""
        return self._programs[node].pid

    def kill(self, node: str) -> None:
        """SIGKILL, if it runs; returns when it is gone."""
        self._programs.pop(node).end()

    def close(self) -> None:
        """Kill what runs."""
        for node in list(self._programs):
            self.kill(node)

    async def wait_leader(self, limit_s: float = 20.0) -> str:
        """The member that leads, once all agree. ProgramError when one ends; TimeoutError when it takes too long."""
        async with asyncio.timeout(limit_s):
            while (found := await self.leader()) is None:
                for program in self._programs.values():
                    program.require_alive()
                await asyncio.sleep(0.05)
        return found[0]

    async def leader(self) -> tuple[str, int] | None:
        """Who leads, in which term, once all members agree on it."""
        answers = await asyncio.gather(*(self.post(node, "/v3/maintenance/status", {}) for node in self.nodes))
        said = {answer.get("leader", "0") for answer in answers if answer}
        names = {
            answer["header"]["member_id"]: node for node, answer in zip(self.nodes, answers, strict=True) if answer
        }
        if len(names) < len(self.nodes) or len(said) != 1 or (leader := said.pop()) not in names:
            return None
        return names[leader], max(int(answer["raftTerm"]) for answer in answers if answer)

    async def post(self, node: str, path: str, body: dict[str, str]) -> dict[str, Any] | None:
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
