"""Catch-up: a node that is too far behind fetches a copy of the leader's state, through the real code but for gRPC.

What lastunit_node.catchup and its service do on either side, in events: ask; make the copy; carry it in pieces, which
stall while the link is cut; verify it and make it one's own; stop, install, start again. Either node may die at any
step; then the other one starts over. What was carried may be damaged on the way, and must be refused then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lastunit_node.catchup import LOOK_SECONDS, RETRY_SECONDS, ArrivedCopy
from lastunit_node.copies import CopyInfo, CopyRefused, adopt_copy, discard_copy, make_copy
from simulation.oracle import Violation

if TYPE_CHECKING:
    from simulation.node import SimulatedNode

HOLD_SECONDS = 20.0  # as the real 120 to the time that a copy takes
PATIENCE = 25  # so many looks at a stalled stream


@dataclass
class Stream:
    """A copy under way."""

    source: "SimulatedNode"
    source_boot: int
    info: CopyInfo
    pieces: list[bytes]
    damaged: bool
    stalled: int = 0


class CatchUp:
    """One boot of a node, as the one that fetches and as the one that is asked."""

    def __init__(self, node: "SimulatedNode") -> None:
        self._node, self._world = node, node.world
        self._boot = node.boot
        self._fetching = False
        self._attempts = 0
        self._stream: Stream | None = None
        self._next_look = 0.0

    def step(self) -> None:
        """After a turn: begin when a copy is needed."""
        core, now = self._node.core, self._world.clock.now
        if core is None or self._fetching or now < self._next_look or not core._raft.is_behind:
            return
        self._next_look = now + LOOK_SECONDS
        if core._raft.leader is not None:
            self._fetching = True
            source = self._world.nodes[self._choose_source(core._raft.leader.id)]
            self._later(self._pace(), lambda: self._ask(source))

    def _choose_source(self, leader: str) -> str:
        """The leader, and every other time another peer."""
        peers = [name for name in self._world.nodes if name not in {leader, self._node.name}]
        turn, asks_a_peer = divmod(self._attempts, 2)
        return peers[turn % len(peers)] if asks_a_peer else leader

    def _pace(self) -> float:
        seconds = 0.05 if self._world.network.calm else self._world.profile.copy_seconds
        return self._world.rng.uniform(0.0, seconds)

    def _later(self, delay: float, step: Callable[[], None]) -> None:
        """Do a step, in which this node may die, if it has not died before."""

        def run() -> None:
            if self._node.is_up(self._boot):
                self._node.guard(step)

        self._world.clock.after(delay, run)

    def _start_over(self, why: str) -> None:
        self._world.counts[f"copy: {why}"] += 1
        self._world.trace.say(f"{self._node.name} gets no copy: {why}")
        discard_copy(self._node.disk.directory.arriving_copy)
        self._attempts += 1
        self._fetching, self._stream = False, None
        self._next_look = self._world.clock.now + RETRY_SECONDS

    def _ask(self, source: "SimulatedNode") -> None:
        if source.core is None or self._is_cut(source):
            self._start_over("no connection")
        elif (made := source.catch_up.make()) is None:
            self._start_over("refused by its source")
        else:
            self._receive(source, *made)

    def make(self) -> tuple[CopyInfo, bytes] | None:
        """Asked for a copy: what CatchUpService does."""
        core, disk = self._node.core, self._node.disk
        assert core is not None
        if core._raft.is_behind or self._is_serving():
            return None
        core.hold_log(core._machine.applied_index, HOLD_SECONDS)
        info = make_copy(disk.directory.state_path, disk.directory.outgoing_copy)
        return info, disk.directory.outgoing_copy.read_bytes()

    def _is_serving(self) -> bool:
        """One copy at a time; a stream ends with whoever takes it."""
        others = [node.catch_up for node in self._world.nodes.values() if node.core is not None]
        return any(other._stream is not None and other._stream.source is self._node for other in others)

    def _receive(self, source: "SimulatedNode", info: CopyInfo, data: bytes) -> None:
        world, size = self._world, len(data)
        world.counts["copy: begun"] += 1
        world.trace.say(f"{self._node.name} fetches a copy of {source.name} at index {info.applied_index}")
        damaged = not world.network.calm and world.rng.random() < world.profile.copy_damage
        if damaged:
            place = world.rng.randrange(size)
            data = data[:place] + bytes([data[place] ^ 1 << world.rng.randrange(8)]) + data[place + 1 :]
        step = -(-size // world.rng.randint(1, 5))
        pieces = [data[begin : begin + step] for begin in range(0, size, step)]
        self._node.disk.directory.arriving_copy.write_bytes(b"")
        self._stream = stream = Stream(source, source.boot, info, pieces, damaged)
        self._later(self._pace(), lambda: self._take_piece(stream))

    def _take_piece(self, stream: Stream) -> None:
        self._node.copy_step()
        if not stream.source.is_up(stream.source_boot):
            self._start_over("its source died")
        elif self._is_cut(stream.source):
            self._stall(stream)
        else:
            with self._node.disk.directory.arriving_copy.open("ab") as file:
                file.write(stream.pieces.pop(0))
            self._later(self._pace(), lambda: (self._take_piece if stream.pieces else self._settle)(stream))

    def _stall(self, stream: Stream) -> None:
        stream.stalled += 1
        if stream.stalled > PATIENCE:
            self._start_over("its source fell silent")
        else:
            self._later(LOOK_SECONDS, lambda: self._take_piece(stream))

    def _settle(self, stream: Stream) -> None:
        """All pieces are here."""
        node, core = self._node, self._node.core
        assert core is not None
        node.copy_step()
        info, directory = stream.info, node.disk.directory
        if info.applied_index <= core._machine.applied_index:
            self._start_over("no longer needed")
            return
        lasting = directory.copied_state(info.applied_index)
        try:
            adopt_copy(directory.arriving_copy, lasting, info, directory.state_identity)
        except CopyRefused:
            if not stream.damaged:
                raise
            self._start_over("damaged on its way")
            return
        if stream.damaged:
            raise Violation(f"{node.name} took a copy that was damaged on its way")
        node.copy_step()
        node.install(ArrivedCopy(lasting.name, info))

    def _is_cut(self, source: "SimulatedNode") -> bool:
        """Whether nothing gets through from one to the other at the moment."""
        network, node = self._world.network, self._node
        ends = {node.name, source.name}
        return network.is_blocked(source.name, node.name) or bool(network.silent & ends)
