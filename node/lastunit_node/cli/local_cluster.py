"""The cluster of one cluster file, run on this machine: a library for the CLI, the sale and the tests.

Every method blocks and is bounded in time; a coroutine calls them through asyncio.to_thread. Nodes outlive the program
that starts them; any later LocalCluster on the same file finds them again by their PIDs on disk. Whatever cannot be
done is a LocalClusterError, whose message is one line that says what to do.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psutil

from lastunit_node.cli import probes
from lastunit_node.cli.data_directories import DataDirectories
from lastunit_node.cli.errors import LocalClusterError, NodeFaultError
from lastunit_node.cli.node_status import NodeStatus
from lastunit_node.cli.processes import POLL_S, NodeProcess, ProcessError, ProcessState, signals_held
from lastunit_node.cli.verification import NodeScan
from lastunit_node.config import Address, ClusterConfig

__all__ = ["LocalCluster", "LocalClusterError", "NodeFaultError"]

NODE_PROGRAM: Final = (sys.executable, "-P", "-m", "lastunit_node.main")  # -P: nothing is imported from where we are
SERVE_LIMIT_S: Final = 30.0
STOP_LIMIT_S: Final = 15.0  # more than a node takes to drain
CLEAN_UP_LIMIT_S: Final = 5.0  # for nodes that have served nobody
PROBE_LIMIT_S: Final = 1.0
AGREE_LIMIT_S: Final = 10.0  # for the last node to apply what the first one has
REJOIN_LIMIT_S: Final = 300.0
SCAN_LIMIT_S: Final = 300.0  # some 15 million rows


def ignore_progress(serving: int, total: int) -> None:
    """Tell nobody."""


def is_free(address: Address) -> bool:
    """Whether nobody listens on an address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not matter
        try:
            listener.bind(address)
        except OSError:
            return False
        return True


def owner_of(address: Address) -> str:
    """` (PID 7, nginx)` of the process that listens on an address; empty when it is not to be seen."""
    with contextlib.suppress(psutil.Error, OSError):
        for each in psutil.net_connections("tcp"):  # gRPC's sockets are IPv6's, for IPv4 too
            if each.pid and each.status == psutil.CONN_LISTEN and each.laddr[1:] == address[1:]:
                return f" (PID {each.pid}, {psutil.Process(each.pid).name()})"
    return ""


class LocalCluster:
    """Processes and data directories of the nodes that `config` names; `program` is what a node's process runs."""

    def __init__(self, config: ClusterConfig, program: Sequence[str] = NODE_PROGRAM) -> None:
        self.config = config
        self.data = DataDirectories(config, program)
        self._processes = {
            node: NodeProcess(
                node, config.node_dir(node), [*program, "run", "--config", str(config.path), "--node", node]
            )
            for node in config.nodes
        }

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of all nodes, in the file's order."""
        return tuple(self.config.nodes)

    # The whole cluster

    def up(
        self,
        timeout_s: float = SERVE_LIMIT_S,
        *,
        fresh: bool = False,
        on_progress: Callable[[int, int], None] = ignore_progress,
    ) -> bool:
        """Start every node, and return when all serve. Formats a cluster that has no data; `fresh` erases it first.

        True when it is a new cluster. Refused while a node runs. When a node does not come up, or Ctrl-C comes first,
        what was started is stopped.
        """
        with self.data.exclusive():
            self.require_stopped()
            for node in self.nodes:
                self._require_free_ports(node)
            if fresh:
                self.data.erase()
            is_new = not self.data.exist()
            if is_new:
                self.data.format()
            try:
                for node in self.nodes:
                    self.start(node)
                self.wait_serving(timeout_s, on_progress=on_progress)
            except NodeFaultError as fault:
                self.stop_all(CLEAN_UP_LIMIT_S)
                raise fault.advised(self._way_on(fault.node, is_new)) from None
            except BaseException:
                self.stop_all(CLEAN_UP_LIMIT_S)
                raise
        return is_new

    def _way_on(self, faulty: str, is_new: bool) -> str:
        """What became of the others when one node did not come up, and how to do without it."""
        stopped = "All nodes were stopped again"
        if is_new:
            return stopped
        starts = ", ".join(f"`lastunit start {node}`" for node in self.nodes if node != faulty)
        return (
            f"{stopped}; the others go on without it after {starts}, and then, should its data be damaged or lost, "
            f"`lastunit rejoin {faulty}` brings it back"
        )

    def down(self, timeout_s: float = STOP_LIMIT_S) -> list[str]:
        """Stop every node with SIGTERM; the names of those that had to be killed after the time."""
        return self.stop_all(timeout_s)

    # Data directories

    def format(self) -> None:
        """Make the data directories of a new cluster. Refused when a node has data or runs."""
        self.require_stopped()
        self.data.format()

    def erase(self) -> None:
        """Delete the data directories of all nodes. Refused while a node runs."""
        self.require_stopped()
        self.data.erase()

    def require_stopped(self) -> None:
        """LocalClusterError when a node runs: known by its PID, or by the lock it holds."""
        running = [node for node in self.nodes if self.state(node) is not ProcessState.DOWN or self.data.in_use(node)]
        if running:
            raise LocalClusterError(
                f"already running: {', '.join(running)}; see `lastunit status`, start a single node with "
                f"`lastunit start NODE`, or stop them all with `lastunit down`"
            )

    # Processes

    def start(self, node: str, environment: Mapping[str, str] | None = None) -> int:
        """Start one node and return its PID, before it serves. `environment` is added to this program's own."""
        process = self._process(node)
        if not self.data.has_data(node) and not self.data.exist():
            raise LocalClusterError(f"{node} has no data yet; start the cluster with `lastunit up`")
        if process.pid is None:
            self._require_free_ports(node)
        with self.data.usable():
            return process.start({**os.environ, **(environment or {})})

    def rejoin(self, node: str) -> str:
        """Give a node that is down an empty directory, to catch up from the others; one line about what was done."""
        if self.state(node) is not ProcessState.DOWN or self.data.in_use(node):
            raise LocalClusterError(f"{node} runs; stop it first, with `lastunit kill {node}`, should its data be bad")
        self._require_free_ports(node)
        return self.data.rejoin(node)

    def wait_admitted(self, node: str, timeout_s: float) -> None:
        """Wait until a node has caught up so far that its disk counts. NodeFaultError when the time runs out."""
        deadline = time.monotonic() + timeout_s
        while not self.status(node).is_admitted:
            self._require_alive(node)
            if time.monotonic() >= deadline:
                raise self._fault(node, f"is not admitted after {timeout_s:g} s")
            time.sleep(POLL_S)

    def _require_free_ports(self, node: str) -> None:
        """Refuse while a stranger listens there: it might be taken for the node."""
        addresses = self.config.node(node)
        for key, address in (("grpc", addresses.grpc), ("raft", addresses.raft)):
            if not is_free(address):
                raise LocalClusterError(
                    f"the {key} address of {node}, {address}, is taken by another process{owner_of(address)}: "
                    f"stop that, or give {node} another port in {self.config.path}"
                )

    def stop(self, node: str, timeout_s: float = STOP_LIMIT_S) -> bool:
        """Stop one node with SIGTERM; False when it had to be killed after the time. True when it is down already."""
        return not self.stop_all(timeout_s, [node])

    def stop_all(self, timeout_s: float = STOP_LIMIT_S, nodes: Iterable[str] | None = None) -> list[str]:
        """Stop nodes (all of them) at once, as `stop` does; the names of those that had to be killed.

        One that cannot be stopped keeps none of the others: NodeFaultError when they are down. ProcessError, when there
        was nothing else to stop.
        """
        stopping, refusals = self._terminate([self._process(node) for node in self._selected(nodes)])
        deadline = time.monotonic() + timeout_s
        stubborn = [process for process in stopping if not process.wait_gone(max(0.0, deadline - time.monotonic()))]
        for process in stubborn:
            process.end()
        if refusals and not stopping:
            raise refusals[0]
        if refusals:
            stopped = ", ".join(process.name for process in stopping)
            raise NodeFaultError(f"{'; '.join(map(str, refusals))}. Stopped: {stopped}", "")
        return [process.name for process in stubborn]

    @staticmethod
    def _terminate(processes: Iterable[NodeProcess]) -> tuple[list[NodeProcess], list[ProcessError]]:
        """Ask each to end: those that were there and heard it, and why others did not. Ctrl-C waits until all have."""
        stopping, refusals = [], []
        with signals_held():
            for process in processes:
                try:
                    if process.terminate():
                        stopping.append(process)
                except ProcessError as refusal:
                    refusals.append(refusal)
        return stopping, refusals

    def kill(self, node: str) -> None:
        """Kill one node with SIGKILL, and return when it is gone."""
        self._process(node).kill()

    def pause(self, node: str) -> None:
        """Stop one node with SIGSTOP: it keeps its memory and its sockets, and answers nothing."""
        self._process(node).pause()

    def resume(self, node: str) -> None:
        """Let a paused node go on."""
        self._process(node).resume()

    def state(self, node: str) -> ProcessState:
        """Whether a node's process is down, running or paused."""
        return self._process(node).state

    def running(self) -> dict[str, int]:
        """PID of every node whose process is there, paused ones too."""
        pids = {node: process.pid for node, process in self._processes.items()}
        return {node: pid for node, pid in pids.items() if pid is not None}

    def log_tail(self, node: str, lines: int = 20) -> str:
        """The last lines of a node's log."""
        return self._process(node).log_tail(lines)

    def _process(self, node: str) -> NodeProcess:
        self.config.node(node)  # says which nodes there are, when this is none
        return self._processes[node]

    def _selected(self, nodes: Iterable[str] | None) -> tuple[str, ...]:
        return self.nodes if nodes is None else tuple(nodes)

    # Answers

    def wait_serving(
        self,
        timeout_s: float = SERVE_LIMIT_S,
        nodes: Iterable[str] | None = None,
        on_progress: Callable[[int, int], None] = ignore_progress,
    ) -> None:
        """Wait until nodes (all of them) serve. on_progress hears how many do, of how many.

        Raises NodeFaultError as soon as one ends, and when the time runs out.
        """
        deadline = time.monotonic() + timeout_s
        wanted = waiting = self._selected(nodes)
        while waiting := tuple(node for node in waiting if not self._serves(node)):
            on_progress(len(wanted) - len(waiting), len(wanted))
            for node in waiting:
                self._require_alive(node)
            if time.monotonic() >= deadline:
                raise self._fault(waiting[0], f"does not serve after {timeout_s:g} s")
            time.sleep(POLL_S)

    def comes_to_serve(self, node: str, timeout_s: float = SERVE_LIMIT_S) -> bool:
        """Wait until a node serves: True. False once it answers, and too few run for a quorum.

        Raises as wait_serving does.
        """
        deadline = time.monotonic() + timeout_s
        while not self._serves(node):
            self._require_alive(node)
            if self.status(node).answers and not self.majority_runs():
                return False
            if time.monotonic() >= deadline:
                raise self._fault(node, f"does not serve after {timeout_s:g} s")
            time.sleep(POLL_S)
        return True

    def _serves(self, node: str) -> bool:
        return probes.is_serving(self.config.node(node).grpc, PROBE_LIMIT_S)

    def _require_alive(self, node: str) -> None:
        if self.state(node) is ProcessState.DOWN:
            raise self._fault(node, "ended before it served")

    def _fault(self, node: str, problem: str) -> NodeFaultError:
        process = self._process(node)
        tail = process.log_tail()
        hint = "" if tail.strip() else self._silence(process)
        return NodeFaultError(f"{node} {problem}{hint}", tail, process.log_file, node)

    def _silence(self, process: NodeProcess) -> str:
        """What else there is to say of a node that wrote nothing."""
        status = "" if process.exit_status is None else f" with status {process.exit_status}"
        free = psutil.disk_usage(str(self.config.data_dir)).free
        return f"{status} and wrote nothing (free space there: {free >> 20} MiB)"

    def statuses(self, timeout_s: float = PROBE_LIMIT_S, hash_at_index: int = 0) -> dict[str, NodeStatus]:
        """How every node stands, asked at once. hash_at_index: wait for that index, and give the state hash at it."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            answers = pool.map(lambda node: self.status(node, timeout_s, hash_at_index), self.nodes)
            return {answer.node: answer for answer in answers}

    def status(self, node: str, timeout_s: float = PROBE_LIMIT_S, hash_at_index: int = 0) -> NodeStatus:
        """How one node stands; only its process, when it gives no answer in time."""
        process = self._process(node)
        state, pid = process.state, process.pid
        answer = None
        if state is ProcessState.RUNNING:
            answer = probes.get_status(self.config.node(node).grpc, timeout_s, hash_at_index)
            if answer is not None and answer.node != node:  # the cluster file has changed since they were started
                answer = None
        return NodeStatus.of(node, state, pid, answer)

    def agreed(self) -> dict[str, int] | None:
        """The parameters that were agreed when the cluster was born; None when no node says them."""
        for node in self.nodes:
            answer = probes.get_status(self.config.node(node).grpc, PROBE_LIMIT_S)
            if answer is not None and answer.HasField("parameters"):
                return {
                    field.name: getattr(answer.parameters, field.name) for field in answer.parameters.DESCRIPTOR.fields
                }
        return None

    def overruled(self) -> dict[str, tuple[int, int]]:
        """Keys of the cluster file whose value is not the agreed one: both values. Empty when no node answers."""
        agreed = self.agreed() or {}
        written = {key: getattr(self.config, key) for key in agreed}
        return {key: (written[key], agreed[key]) for key in agreed if written[key] != agreed[key]}

    def statuses_at_one_index(self, timeout_s: float = AGREE_LIMIT_S) -> dict[str, NodeStatus]:
        """How every node stands, with its hashes at one index: the furthest that one had applied when this began."""
        furthest = max(status.applied_index or 0 for status in self.statuses().values())
        return self.statuses(timeout_s, furthest)

    def scan(self, node: str, timeout_s: float = SCAN_LIMIT_S) -> NodeScan:
        """Have one node read all its rows."""
        if self.state(node) is not ProcessState.RUNNING:
            return NodeScan(problem=f"it is {self.state(node)}")
        return probes.scan_state(self.config.node(node).grpc, timeout_s)

    def majority_runs(self) -> bool:
        """Whether enough nodes run for a quorum; paused ones do not count, nor do those that say their disk does not.

        One that gives no answer counts: it may have been started just now.
        """
        running = [each for each in self.statuses().values() if each.process is ProcessState.RUNNING]
        return sum(each.is_admitted is not False for each in running) > len(self.nodes) // 2

    def uncounted(self) -> list[str]:
        """Nodes that run and say that their disk does not count yet."""
        return [node for node, status in self.statuses().items() if status.is_admitted is False]

    def leader(self) -> str | None:
        """The node that leads in the highest term; None while none does."""
        leaders = [status for status in self.statuses().values() if status.role == "leader"]
        return max(leaders, key=lambda status: status.term or 0).node if leaders else None

    def transfer(self, node: str = "", timeout_s: float = SERVE_LIMIT_S) -> str:
        """Ask the leader to hand leadership to `node` (empty: to the one that is furthest); the new leader's name."""
        leader = self.leader()
        if leader is None:
            raise LocalClusterError("no node leads now; see `lastunit status`")
        if leader == node:
            return leader
        try:
            return probes.transfer_leadership(self.config.node(leader).grpc, node, timeout_s)
        except probes.TransferRefused as refusal:
            raise LocalClusterError(f"{leader} still leads: {refusal}") from None
