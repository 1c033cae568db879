"""One node's process: data directory, replica, front end, from start to SIGTERM.

SIGTERM or SIGINT: stop accepting, let calls under way end, hand leadership over, stop; each step bounded, so that the
process is gone within STOP_SECONDS. A broken invariant, damage or a failed sync ends the process at once.
"""

import asyncio
import functools
import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
import uvloop

from lastunit_node import __version__, sqlite
from lastunit_node.catchup import ArrivedCopy, CatchUp, install
from lastunit_node.config import ClusterConfig
from lastunit_node.damage import explain, has_disk_failed
from lastunit_node.datadir import DataDirectory, DirectoryLost
from lastunit_node.frontend import FrontEnd
from lastunit_node.frontend.catchup import StateFiles
from lastunit_node.frontend.errors import CallError
from lastunit_node.replica.checkpoints import CheckpointThread
from lastunit_node.replica.core import ReplicaCore
from lastunit_node.replica.hello import Hello
from lastunit_node.replica.interface import Role
from lastunit_node.replica.link import RaftLink
from lastunit_node.replica.replica import ThreadedReplica
from lastunit_node.statemachine.commands import Configure

_log = structlog.get_logger()

DRAIN_SECONDS: Final = 5.0
HAND_OVER_SECONDS: Final = 3.0
REFUSE_SECONDS: Final = 0.2  # without a call, before the port is closed: longer than most callers take to call again
STOP_SECONDS: Final = 12.0
LEAVE_SECONDS: Final = 0.5  # after all is closed, for a thread that makes or verifies a copy, and cannot be stopped
LOOK_SECONDS: Final = 1.0  # between looks at the data directory: it may be deleted under a node that runs
FATAL_EXIT: Final = 70  # EX_SOFTWARE
SWITCH_INTERVAL: Final = 0.0005  # Python's default of 5 ms sits between the Raft thread and the event loop
COLLECTIONS: Final = (2_000, 10, 1_000)  # thresholds of Python's garbage collector, see quieten_collector()


def die(problem: BaseException, directory: Path) -> None:
    """End the process now: it must not answer, vote or acknowledge any more. The log's last line says why."""
    try:
        if not (has_disk_failed(problem) or isinstance(problem, DirectoryLost)):
            _log.error("this stops the node", exc_info=problem)
        _log.critical("the node stops", kind=type(problem).__name__, problem=explain(problem, directory))
    finally:
        os._exit(FATAL_EXIT)  # a full disk may have no room for the log either


def quieten_collector() -> None:
    """Leave what is here now out of garbage collections, and make full ones rare: all threads stand still meanwhile.

    A full one took 50 ms, every few seconds (measured): every order under way waited for it. Orders make no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def allow_open_files() -> None:
    """Take as many descriptors as the system grants: every caller costs one, and shells begin with 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a hard limit from before the system's own was lowered
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def outlive_terminal() -> None:
    """No SIGHUP ends this process: it comes when a terminal closes.

    And from the kernel, to a node that is paused when the program that started it ends.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def configure_command(config: ClusterConfig) -> Configure:
    """The parameters that a new cluster is born with."""
    return Configure(
        config.tick_ms, config.hold_ticks, config.hold_cap_ticks, config.retention_ticks, config.sweep_size
    )


class Server:
    """Everything one node runs."""

    def __init__(self, config: ClusterConfig, node: str) -> None:
        """Lock and open the data. Raises the refusals of datadir, journal, database and core."""
        self._config = config
        self._node = node
        self._directory = DataDirectory(config.node_dir(node), config.cluster, config.nodes, node)
        self._directory.name_process()
        journal = self._directory.open_journal()
        self._directory.remove_leftovers()
        state = self._directory.open_state()
        sqlite.give_way(state)  # a COMMIT takes a millisecond, and orders may need the processor meanwhile
        peers = {name: member.raft for name, member in config.nodes.items() if name != node}
        identity = self._directory.identity
        hello = Hello(identity.cluster_id, node, journal.instance, identity.members)
        link = RaftLink(hello, config.node(node).raft, peers)
        configure = configure_command(config)
        self._core = ReplicaCore(
            node,
            peers,
            link=link,
            journal=journal,
            state=state,
            configure=configure,
            checkpoints=functools.partial(CheckpointThread, self._directory.open_for_checkpoints, self._die),
        )
        self._told_to_stop = asyncio.Event()

    async def run(self) -> bool:
        """Serve until a signal comes, or a copy of a peer's state is installed: then True, to start again from it.

        Raises the front end's refusal when its port is taken.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop.set)
        replica = ThreadedReplica(self._core, self._directory.open_reader, self._die)
        front_end = self._front_end(replica)
        await front_end.start()
        quieten_collector()
        replica.start()
        _log.info("serving", grpc=str(self._config.node(self._node).grpc), version=__version__)
        warning = asyncio.create_task(self._warn_about_parameters(replica))
        watching = asyncio.create_task(self._watch_directory())
        copy = await self._copy_or_stop(replica)
        warning.cancel()
        watching.cancel()
        await self._stop(replica, front_end)
        if copy is not None:
            install(self._directory, copy, replica.status().applied_index)
        again = copy is not None
        asyncio.get_running_loop().call_later(LEAVE_SECONDS, self.leave, again)
        return again

    def leave(self, again: bool) -> None:
        """End this process, or begin anew in it, whatever threads still run. A signal may have come since it began."""
        if again and not self._told_to_stop.is_set():
            program = [sys.executable, "-P", "-m", "lastunit_node.main", *sys.argv[1:]]
            os.execv(sys.executable, program)  # noqa: S606  # us
        os._exit(0)

    def _die(self, problem: BaseException) -> None:
        die(problem, self._config.node_dir(self._node))

    async def _watch_directory(self) -> None:
        """End the process once its files are no longer those at their path: nobody would find them again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._directory.require_in_place()
            except (DirectoryLost, OSError) as problem:
                self._die(problem)

    async def _copy_or_stop(self, replica: ThreadedReplica) -> ArrivedCopy | None:
        """Wait for a signal, and meanwhile for a copy, should this node come to need one."""
        addresses = {name: str(member.grpc) for name, member in self._config.nodes.items()}
        fetching = asyncio.create_task(CatchUp(self._directory, replica, addresses).fetch())
        stopping = asyncio.create_task(self._told_to_stop.wait())
        await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if fetching.done():
            return fetching.result()
        fetching.cancel()
        return None

    def _front_end(self, replica: ThreadedReplica) -> FrontEnd:
        address = str(self._config.node(self._node).grpc)
        return FrontEnd(
            cluster_name=self._config.cluster,
            node_name=self._node,
            version=__version__,
            address=address,
            replica=replica,
            nodes=tuple(self._config.nodes),
            files=StateFiles(
                self._directory.identity.cluster_id, self._directory.state_path, self._directory.outgoing_copy
            ),
        )

    async def _stop(self, replica: ThreadedReplica, front_end: FrontEnd) -> None:
        _log.info("stopping")
        asyncio.get_running_loop().call_later(STOP_SECONDS, _give_up_stopping)
        await front_end.drain(DRAIN_SECONDS)
        await self._hand_over(replica, front_end)
        await front_end.refuse(REFUSE_SECONDS)
        await replica.stop()  # first: gRPC 1.78 can crash where it closes a port on which connections arrive
        await front_end.stop(REFUSE_SECONDS)
        _log.info("stopped")

    async def _hand_over(self, replica: ThreadedReplica, front_end: FrontEnd) -> None:
        if replica.status().role is not Role.LEADER:
            return
        try:
            leader = await asyncio.wait_for(front_end.transfer_leadership(), HAND_OVER_SECONDS)
            _log.info("handed leadership over", leader=leader)
        except (CallError, TimeoutError) as problem:
            _log.warning("could not hand leadership over", problem=str(problem))

    async def _warn_about_parameters(self, replica: ThreadedReplica) -> None:
        """Say so when cluster.yml and the replicated parameters differ: the replicated ones are used."""
        while (parameters := replica.status().parameters) is None:
            await asyncio.sleep(1.0)
        for name, value in parameters._asdict().items():
            wanted = getattr(self._config, name)
            if wanted != value:
                _log.warning("cluster.yml differs from the cluster", key=name, cluster_yml=wanted, in_use=value)


def _give_up_stopping() -> None:
    _log.critical("the node did not stop in time, and is ended", seconds=STOP_SECONDS)
    os._exit(FATAL_EXIT)


def run_node(config: ClusterConfig, node: str) -> None:
    """Run one node until a signal ends it; after a copy was installed, as a new program under the same PID.

    A signal that comes while a copy is being installed ends it, too: the next start finds the copy.
    """
    outlive_terminal()
    sys.setswitchinterval(SWITCH_INTERVAL)
    allow_open_files()
    server = Server(config, node)
    if uvloop.run(server.run()):
        server.leave(again=True)
