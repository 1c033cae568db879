"""Comparing the state's hashes between running nodes, so that one that differs stops.

The leader asks every follower for its hash at an index that it has applied itself: each 64th (divergence.EVERY), and
the newest once a second. A follower answers when it has applied that index. The leader judges (divergence.py) and
tells who differs from the majority; that node looks at its own hash again, and stops if it is another one. A leader
that differs stops by itself. Without a majority, for PATIENCE seconds, all that contradict each other stop.

Only nodes whose disk is admitted take part (admission.py): the others do not count towards a majority.

No message can stop a healthy node: what is late or repeated is still true of its index; what is of another term, or
about an index that is no longer at hand, is dropped; what is lost is asked for again a second later. A node that
restarts and replays has the same hashes again. Only the node itself, with its own hash in hand, decides to stop.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from lastunit_node.replica import timing
from lastunit_node.replica.admission import Admission, Claim
from lastunit_node.replica.divergence import EVERY, MAX_ROUNDS, Rounds
from lastunit_node.replica.messages import Message
from lastunit_node.replica.syncobj import LEADER
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.results import StateHash

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.syncobj import RaftHooks

_log = structlog.get_logger()

PATIENCE: Final = 3  # comparisons by the clock for a majority to be found, in which a silent node may come back
HashAt = Callable[[int], StateHash | None]


class Comparison:
    """One node's part in it. hash_at: this node's hashes at a recent applied index."""

    def __init__(self, raft: "RaftHooks", hash_at: HashAt, name: str, members: int, *, admission: Admission) -> None:
        self._raft = raft
        self._admission = admission
        self._hash_at = hash_at
        self._name = name
        self._rounds = Rounds(members)
        self._doubts = 0
        self._next_ask = 0.0
        self._asked: list[int] = []  # indexes that the leader asked for, and this node has not applied

    def step(self) -> None:
        """Once a turn, after entries were applied."""
        if self._raft.role == LEADER:
            self._lead()
        else:
            self._rounds.clear()
            self._answer()

    def on_message(self, node: "Node", message: Message) -> None:
        """A message of this term."""
        if message["term"] != self._raft.term:
            return
        match message["type"]:
            case "hash_request" if node == self._raft.leader:
                self._on_request(message["index"])
            case "hash_report" if self._raft.role == LEADER and self._admission.accepts(node.id, Claim.of(message)):
                self._on_report(node, StateHash(message["index"], message["chain"], message["digest"]))
            case "diverged" if node == self._raft.leader:
                self._on_diverged(message)

    # The follower.

    def _on_request(self, index: int) -> None:
        if index not in self._asked:
            self._asked = [*self._asked, index][-MAX_ROUNDS:]

    def _answer(self) -> None:
        leader, applied = self._raft.leader, self._raft.last_applied
        if not self._admission.is_admitted:
            self._asked.clear()  # it does not count
        if not self._asked or leader is None:
            return
        for index in self._asked:
            own = self._hash_at(index)
            if own is not None:
                self._send(leader, "hash_report", index, chain=own.chain, digest=own.digest)
        self._asked = [index for index in self._asked if index > applied]

    def _on_diverged(self, message: Message) -> None:
        own = self._hash_at(message["index"])
        other = StateHash(message["index"], message["chain"], message["digest"])
        if own is not None and own != other:
            raise _diverged(own, other, majority=message["majority"])

    # The leader.

    def _lead(self) -> None:
        self._asked.clear()
        applied, now = self._raft.last_applied, self._raft.now()
        by_the_clock = now >= self._next_ask
        if by_the_clock:
            self._next_ask = now + timing.COMPARE
            self._weigh_doubt()
        if by_the_clock or applied >= self._rounds.newest + EVERY:
            self._open(applied)
            self._ask(self._rounds.newest)

    def _open(self, index: int) -> None:
        own = self._hash_at(index)
        if own is not None and index > self._rounds.newest:
            self._rounds.open(self._name, own)

    def _ask(self, index: int) -> None:
        for peer in self._raft.peers:
            if index and not self._rounds.confirmed(peer.id, index):
                self._send(peer, "hash_request", index)

    def _on_report(self, node: "Node", report: StateHash) -> None:
        verdict = self._rounds.add(node.id, report)
        if verdict.right is None or not verdict.wrong:
            return
        _log.error("nodes differ from the majority and stop", index=report.index, nodes=", ".join(verdict.wrong))
        for peer in self._raft.peers:
            if peer.id in verdict.wrong:
                self._send_diverged(peer, verdict.right, majority=True)
        if self._name in verdict.wrong:
            raise _diverged(self._rounds.reports(report.index)[self._name], verdict.right, majority=True)

    def _weigh_doubt(self) -> None:
        """Stop everyone who takes part in a contradiction that no majority has settled in time."""
        reports = self._rounds.in_doubt()
        self._doubts = self._doubts + 1 if reports else 0
        if not reports:
            return
        said = {node: _text(reported) for node, reported in sorted(reports.items())}
        _log.error("nodes differ, and no hash has a majority yet", index=reports[self._name].index, **said)
        if self._doubts > PATIENCE:
            self._stop_all(reports)

    def _stop_all(self, reports: Mapping[str, StateHash]) -> None:
        other = {node: next(each for each in reports.values() if each != own) for node, own in reports.items()}
        for peer in self._raft.peers:
            if peer.id in reports:
                self._send_diverged(peer, other[peer.id], majority=False)
        raise _diverged(reports[self._name], other[self._name], majority=False)

    def _send_diverged(self, peer: "Node", other: StateHash, *, majority: bool) -> None:
        self._send(peer, "diverged", other.index, chain=other.chain, digest=other.digest, majority=majority)

    def _send(self, node: "Node", kind: str, index: int, **fields: Any) -> None:
        self._raft.send(node, {"type": kind, "term": self._raft.term, "index": index, **fields})


def _text(state_hash: StateHash) -> str:
    return f"chain {state_hash.chain.hex()} digest {state_hash.digest.hex()}"


def _diverged(own: StateHash, other: StateHash, *, majority: bool) -> InvariantError:
    whose = "the majority's" if majority else "another node's, and neither has a majority"
    return InvariantError(
        f"at index {own.index} this node's state is not {whose}: {_text(own)} here, {_text(other)} there"
    )
