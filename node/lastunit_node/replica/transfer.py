"""Handing leadership over: hold proposals, let the target catch up, tell it to stand.

Under load a follower is never level with a leader that keeps adding entries, so the leader takes no proposals until the
transfer is through or has failed (docs/raft-rules.md, rule 8). Queued proposals wait that long, at most.
"""

from typing import TYPE_CHECKING

from lastunit_node.replica import timing
from lastunit_node.replica.syncobj import LEADER

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.leader import Leader
    from lastunit_node.replica.peers import Peers
    from lastunit_node.replica.syncobj import RaftHooks


class Transfer:
    """At most one transfer at a time."""

    def __init__(self, raft: "RaftHooks", leader: "Leader", peers: "Peers") -> None:
        self._raft = raft
        self._leader = leader
        self._peers = peers
        self._target: Node | None = None
        self._deadline = 0.0

    def begin(self, target: "Node | None") -> "Node | None":
        """Start handing over to target, or to the follower that is furthest; None when there is none that may lead."""
        connected = [peer for peer in self._raft.peers if peer in self._raft.connected and self._peers.counts(peer)]
        if target is None and connected:
            target = max(connected, key=self._leader.match_index)
        if self._raft.role != LEADER or target not in connected:
            return None
        self._target, self._deadline = target, self._raft.now() + timing.TRANSFER
        return target

    @property
    def under_way(self) -> bool:
        """Whether proposals are held."""
        return self._target is not None

    def step(self) -> None:
        """Once a turn: tell the target to stand when it is level; give up at the deadline."""
        if self._target is None:
            return
        if self._raft.role != LEADER or self._raft.now() > self._deadline:
            self._target = None
        elif self._leader.match_index(self._target) == self._raft.journal.last_index:
            self._raft.send(self._target, {"type": "timeout_now", "term": self._raft.term})
