"""Votes: one per node and term, durable before it leaves, counted once per voter."""

from typing import TYPE_CHECKING

from lastunit_node.replica.messages import Message
from lastunit_node.replica.syncobj import CANDIDATE

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.syncobj import RaftHooks


class Elections:
    """Grants and counts votes. Standing for election itself (timer, new term, own vote) is PySyncObj's."""

    def __init__(self, raft: "RaftHooks") -> None:
        self._raft = raft
        self._voters: set[str] = set()
        self._voters_term = 0

    def on_request_vote(self, node: "Node", message: Message) -> None:
        """Grant or refuse; either way say the own term, so that a candidate that is behind learns it."""
        raft = self._raft
        if message["term"] > raft.term:
            raft.set_term(message["term"], None)
            raft.become_follower(None)
        granted = message["term"] == raft.term and raft.voted_for in (None, node.id) and self._is_up_to_date(message)
        if granted:
            raft.set_term(raft.term, node.id)
            raft.postpone_election()
        raft.send(node, {"type": "response_vote", "term": raft.term, "granted": granted})

    def _is_up_to_date(self, message: Message) -> bool:
        journal = self._raft.journal
        return (message["last_log_term"], message["last_log_index"]) >= (journal.last_term, journal.last_index)

    def on_response_vote(self, node: "Node", message: Message) -> None:
        """Count a vote that was given in the term this node stands in."""
        raft = self._raft
        if message["term"] > raft.term:
            raft.set_term(message["term"], None)
            raft.become_follower(None)
        elif raft.role == CANDIDATE and message["granted"] and message["term"] == raft.term:
            if self._voters_term != raft.term:
                self._voters, self._voters_term = set(), raft.term
            self._voters.add(node.id)
            raft.count_votes(1 + len(self._voters))

    def on_timeout_now(self, node: "Node", message: Message) -> None:
        """The present leader hands leadership over: stand at once."""
        if message["term"] == self._raft.term and node == self._raft.leader:
            self._raft.stand_now()
