"""What the other nodes say of their disks: whose word counts here, whom the leader is to admit, and who is missing.

Late messages of a disk that has been replaced are dropped while the newer one talks: a connection belongs to one disk.
No longer, for it may be the other way round: a late message was the last word of the disk that the log still names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from lastunit_node.replica import timing
from lastunit_node.replica.admission import Admission, Claim
from lastunit_node.replica.messages import Message
from lastunit_node.replica.syncobj import LEADER
from lastunit_node.statemachine.commands import Admit

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.follower import Follower
    from lastunit_node.replica.leader import Leader
    from lastunit_node.replica.syncobj import RaftHooks

_log = structlog.get_logger()

_ADVICE: Final = (
    "start the nodes that are down, on the data directories they had. If those are lost too, the cluster waits for an "
    "operator: put back the data directory, as it was left, of a node that is not admitted"
)


@dataclass(slots=True)
class _Peer:
    """What was last heard of a peer. Times in monotonic seconds."""

    claim: Claim
    term: int
    since: float  # this instance is heard
    heard: float
    reconnects: bool = False  # its connection was lost: whoever speaks next is on a new one


class Peers:
    """One node's view of the others."""

    def __init__(
        self, raft: "RaftHooks", name: str, admission: Admission, leader: "Leader", follower: "Follower"
    ) -> None:
        self._raft = raft
        self._name = name
        self._admission = admission
        self._leader = leader
        self._follower = follower
        self._peers: dict[str, _Peer] = {}
        self._proposed: dict[str, float] = {}  # when an admission of a node was last proposed
        self._next_look = float("-inf")
        self._led: float | None = None  # when a leader was last known, or this node started
        self._warned = float("-inf")

    def heard(self, node: "Node", message: Message) -> bool:
        """Note who speaks; False for a message to drop, because a newer disk of that node is connected."""
        claim, now = Claim.of(message), self._raft.now()
        peer = self._peers.get(node.id)
        if peer is None:
            self._peers[node.id] = _Peer(claim, message["term"], now, now)
            return True
        if claim.instance != peer.claim.instance:
            is_here = not peer.reconnects and now - peer.heard < timing.ELECTION_MIN
            if is_here and self._counts_by_the_log(node.id, peer):
                return False
            peer.since = now
            self._leader.forget(node)
        peer.claim, peer.term, peer.heard, peer.reconnects = claim, message["term"], now, False
        return True

    def _counts_by_the_log(self, node: str, peer: _Peer) -> bool:
        row = self._admission.row(node)
        return row is not None and row.instance == peer.claim.instance

    def on_connection_lost(self, node: "Node") -> None:
        """The next connection may be that of another disk."""
        if node.id in self._peers:
            self._peers[node.id].reconnects = True

    def counts(self, node: "Node") -> bool:
        """Whether what the peer said last counts here."""
        peer = self._peers.get(node.id)
        return peer is not None and self._admission.accepts(node.id, peer.claim)

    # Whom the leader is to admit.

    def to_admit(self) -> Iterator[Admit]:
        """Admissions that are due; each counts as proposed. Only on a leader that has applied its own no-op."""
        now = self._raft.now()
        if now < self._next_look:
            return
        self._next_look = now + timing.HEARTBEAT
        for node, instance in self._present_disks(now):
            row = self._admission.row(node)
            if row is not None and row.instance == instance:
                continue
            if now - self._proposed.get(node, float("-inf")) >= timing.CONFIGURE_RETRY:
                self._proposed[node] = now
                _log.info("admitting a disk", of=node, instance=instance, replaces=row.instance if row else None)
                yield Admit(node, instance, row.idx if row else 0)

    def _present_disks(self, now: float) -> Iterator[tuple[str, str]]:
        """Nodes with the instances that are there for sure: heard more than once, of late, in this term."""
        yield self._name, self._raft.journal.instance
        for peer in self._raft.peers:
            seen = self._peers.get(peer.id)
            if seen is None or seen.reconnects or seen.term != self._raft.term:
                continue
            if now - seen.heard < timing.STEP_DOWN and seen.heard - seen.since >= timing.HEARTBEAT:
                yield peer.id, seen.claim.instance

    # Waiting for an operator.

    def warn_when_stuck(self) -> None:
        """Once a turn: say it, now and then, when too few nodes that count are there to elect anyone."""
        now = self._raft.now()
        if self._led is None or self._raft.role == LEADER or self._follower.heard_within(timing.ELECTION_MAX):
            self._led = now
        if now - max(self._led, self._warned) < timing.STUCK:
            return
        self._warned = now
        counted, uncounted = self._voices(now)
        if uncounted and len(counted) < self._raft.majority:
            _log.warning(
                "no leader: too few nodes with their data are here to elect one",
                needed=self._raft.majority,
                counted=", ".join(counted) or "none",
                not_admitted=", ".join(uncounted),
                advice=_ADVICE,
            )

    def _voices(self, now: float) -> tuple[list[str], list[str]]:
        """Names of the nodes that are here: those that count, and those that do not."""
        counted = {self._name: self._admission.is_admitted}
        for peer in self._raft.peers:
            seen = self._peers.get(peer.id)
            if seen is not None and now - seen.heard < timing.STUCK:
                counted[peer.id] = self._admission.accepts(peer.id, seen.claim)
        return [name for name, is_counted in counted.items() if is_counted], [
            name for name, is_counted in counted.items() if not is_counted
        ]
