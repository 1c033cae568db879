"""The follower's half of replication: take the leader's entries, prove what is held, answer every message.

etcd's rules (docs/raft-rules.md, rule 2): the matching prefix is left alone, the log is cut only at a real conflict, a
conflict at or below the commit index stops the node, success names what *this* message proved, and no more than that
is committed. Answers leave after one sync for all messages of a turn.
"""

import os
from typing import TYPE_CHECKING, Any

from lastunit_node.replica.journal import JournalDamaged
from lastunit_node.replica.messages import Message
from lastunit_node.replica.syncobj import LEADER
from lastunit_node.statemachine.errors import InvariantError

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.syncobj import RaftHooks


class Follower:
    """Answers append messages, and knows when a leader was last heard."""

    def __init__(self, raft: "RaftHooks") -> None:
        self._raft = raft
        self._answers: list[tuple[Node, dict[str, Any]]] = []
        self._heard_at = float("-inf")
        self.is_behind = False  # the leader no longer has the entries that follow this log

    def on_append(self, node: "Node", message: Message) -> None:
        """Take what the leader sent; the answer leaves with flush()."""
        if message["term"] < self._raft.term:
            self._answer(node, message, success=False, last=0)
            return
        self._follow(node, message["term"])
        self._check_nothing_lost(message.get("acked"))
        self.is_behind = bool(message["log_start"]) and not self._holds_start_of(message)
        if message["log_start"]:
            self._answer(node, message, success=False, last=self._last_in_common(message["log_start"]))
            return
        hint = self._find_mismatch(message)
        if hint is not None:
            self._answer(node, message, success=False, last=hint)
            return
        self._append(message)
        proved = message["prev_index"] + len(message["entries"])
        self._learn_commit(min(message["commit_index"], proved))
        self._answer(node, message, success=True, last=proved)

    def heard_within(self, seconds: float) -> bool:
        """Whether a leader was heard so recently."""
        return self._heard_at > self._raft.now() - seconds

    def forget_leader(self) -> None:
        """The connection to the leader closed: act as if it had not been heard."""
        self._heard_at = float("-inf")

    def flush(self) -> None:
        """Sync once, then send the answers of this turn.

        Those of an earlier term are dropped: what they acknowledge may have been cut for the leader of this one.
        """
        if not self._answers:
            return
        self._raft.journal.sync()
        answers, self._answers = self._answers, []
        for node, answer in answers:
            if answer["term"] == self._raft.term:
                self._raft.send(node, answer)
        os.sched_yield()  # to the leader that they woke, if it is on this processor; what comes next can wait

    def _follow(self, node: "Node", term: int) -> None:
        raft = self._raft
        if term > raft.term:
            raft.set_term(term, None)
            raft.forget_transfer()
        elif raft.role == LEADER:
            raise InvariantError(f"{node} leads in term {term}, and so does this node")
        if not raft.told_to_stand:
            raft.postpone_election()
        if raft.leader != node:  # a candidate has none
            raft.become_follower(node)
        self._heard_at = raft.now()

    def _check_nothing_lost(self, acked: tuple[str, int] | None) -> None:
        """The leader counts on what this disk acknowledged to it; else it would wait for ever for what is gone."""
        journal = self._raft.journal
        if acked is not None and acked[0] == journal.instance and acked[1] > journal.last_index:
            raise JournalDamaged(
                f"the journal ends at index {journal.last_index}, and this disk acknowledged everything up to "
                f"{acked[1]} in this term: what was on it is lost, or an older copy is in its place"
            )

    def _holds_start_of(self, message: Message) -> bool:
        """Whether the entry with which the leader's log starts is here; what follows it can then be sent."""
        journal, start = self._raft.journal, int(message["log_start"])
        if start < journal.first_index or journal.term_at(start) == message["prev_term"]:
            return True
        self._check_not_committed(start)
        return False

    def _last_in_common(self, start: int) -> int:
        """An index that is in both logs for sure; one before the leader's start if there is none."""
        return min(self._raft.journal.last_index, start - 1) if self.is_behind else max(start, self._raft.commit_index)

    def _find_mismatch(self, message: Message) -> int | None:
        """None when prev is in the log (or before its start: committed long ago); else the hint to answer."""
        journal, previous = self._raft.journal, int(message["prev_index"])
        if previous > journal.last_index:
            return journal.last_index
        if previous < journal.first_index:
            return None
        conflicting = journal.term_at(previous)
        if conflicting == message["prev_term"]:
            return None
        self._check_not_committed(previous)
        while previous > self._raft.commit_index and journal.term_at(previous) == conflicting:
            previous -= 1
        return previous

    def _append(self, message: Message) -> None:
        journal = self._raft.journal
        for data, index, term in message["entries"]:
            if index <= journal.last_index:
                if index <= journal.first_index or journal.term_at(index) == term:
                    continue
                self._check_not_committed(index)
                journal.cut_from(index)
            journal.add(data, index, term)

    def _check_not_committed(self, index: int) -> None:
        if index <= self._raft.commit_index:
            raise InvariantError(
                f"the leader's log differs at index {index}, which is committed here, up to {self._raft.commit_index}. "
                "What was acknowledged has been overwritten, as when an old copy of another node's disk was put back. "
                "Do not rejoin this node, which still has it: stop the whole cluster, and keep this node's data"
            )

    def _learn_commit(self, index: int) -> None:
        if index > self._raft.commit_index:
            self._raft.set_commit_index(index)

    def _answer(self, node: "Node", message: Message, *, success: bool, last: int) -> None:
        answer = {
            "type": "append_response",
            "term": self._raft.term,
            "prev_index": message["prev_index"],
            "success": success,
            "last": last,
        }
        self._answers.append((node, answer))
