"""What Raft promises, checked as it happens: elections, logs, votes, and durability before anything leaves a node."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from lastunit_node.replica.raft import Raft
from lastunit_node.replica.syncobj import LEADER
from simulation.disk import CrashableJournal
from simulation.oracle import Oracle, Violation


class RaftChecks:
    """Over all nodes and all their lives."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.leaders: dict[int, str] = {}  # by term
        self._entries: dict[tuple[int, int], tuple[int | None, bytes]] = {}  # (index, term): previous term, hash
        self._promised: dict[str, tuple[int, str | None]] = {}  # term and vote, by node
        self._voters: dict[tuple[int, str], set[str]] = {}  # of a candidate in a term
        self._committed: dict[str, int] = {}

    def born(self, node: str, raft: Raft) -> None:
        """A node starts: what it promised in an earlier life still holds."""
        self._committed[node] = raft.commit_index
        own = raft._machine.hash_at(raft.last_applied)
        if raft.last_applied and own != self._oracle.records[raft.last_applied - 1].state:
            raise Violation(f"{node} starts at index {raft.last_applied} with another state: {own}")
        self.after_turn(node, raft)

    def wiped(self, node: str) -> None:
        """What it promised is forgotten with its disk."""
        self._promised.pop(node, None)

    def entry_added(self, journal: CrashableJournal, data: bytes, index: int, term: int) -> None:
        """Log matching: one index and term, one entry, and the same one before it."""
        seen = journal.term_at(index - 1), blake2b(data, digest_size=8).digest()
        if self._entries.setdefault((index, term), seen) != seen:
            raise Violation(f"two logs differ at index {index} of term {term}")

    def about_to_apply(self, node: str, index: int, journal: CrashableJournal) -> None:
        if index > journal.durable_index:
            raise Violation(f"{node} applies index {index} but its journal is durable up to {journal.durable_index}")

    def about_to_send(self, node: str, peer: str, message: Mapping[str, Any], journal: CrashableJournal) -> None:
        """Nothing is acknowledged and no vote is given before it is durable."""
        if message["type"] == "append_response" and message["success"] and message["last"] > journal.durable_index:
            raise Violation(f"{node} acknowledges {message['last']}, durable is {journal.durable_index}")
        if message["type"] == "response_vote" and message["granted"]:
            self._promise(node, message["term"], peer)
            if journal._vote_unsynced:
                raise Violation(f"{node} votes for {peer} in term {message['term']} before that is durable")

    def after_turn(self, node: str, raft: Raft) -> None:
        self._promise(node, raft.term, raft.voted_for)
        if raft.commit_index < self._committed[node]:
            raise Violation(f"{node} went back from commit index {self._committed[node]} to {raft.commit_index}")
        self._committed[node] = raft.commit_index
        row = raft._admission.row(node)
        if (
            row is not None
            and (row.instance, row.term) == (raft.journal.instance, raft.term)
            and raft.voted_for is None
        ):
            raise Violation(f"{node} may still vote in term {raft.term}, in which its disk was admitted")
        if raft.role == LEADER:
            self._leads(node, raft)

    def _promise(self, node: str, term: int, vote: str | None) -> None:
        known_term, known_vote = self._promised.get(node, (0, None))
        if term < known_term:
            raise Violation(f"{node} went back from term {known_term} to {term}")
        if term == known_term and known_vote not in {None, vote}:
            raise Violation(f"{node} voted for {known_vote} in term {term}, and now for {vote}")
        self._promised[node] = term, vote
        if vote is not None:
            self._voters.setdefault((term, vote), set()).add(node)

    def _leads(self, node: str, raft: Raft) -> None:
        if self.leaders.get(raft.term) != node:
            self._elected(node, raft)
        for peer, progress in raft._leader._progress.items():
            if progress.next <= progress.match:
                raise Violation(f"{node} goes back to index {progress.next}: {peer.id} has {progress.match}")

    def _elected(self, node: str, raft: Raft) -> None:
        """One leader a term, by the votes of a majority, and it holds everything that earlier terms committed."""
        voters = self._voters.get((raft.term, node), set())
        if len(voters) < raft.majority:
            raise Violation(f"{node} leads in term {raft.term} by the votes of {sorted(voters)}")
        other = self.leaders.setdefault(raft.term, node)
        if other != node:
            raise Violation(f"{other} and {node} both lead in term {raft.term}")
        last = self._oracle.last_before(raft.term)
        if last and raft.journal.term_at(last) != self._oracle.records[last - 1].term:
            raise Violation(f"{node} leads in term {raft.term} without the committed index {last}")
