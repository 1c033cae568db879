"""Elections: who asks, who stands, who votes.

A follower that misses its leader first asks who would vote for it (pre-vote; Ongaro, dissertation, 9.6). Only a
majority of grants lets it stand, with a new term; so a node that was cut off comes back without unseating a healthy
leader. A pre-vote is granted when the asker's next term is higher, its log up to date, and no leader was heard within
the least election timeout; granting changes neither term nor vote. One candidate at a time is granted it, for a short
while (promise.py). A transfer of leadership needs no pre-vote.

A closed connection to the leader is a hint, not a proof: it makes the follower ask soon, at a random moment.

Only nodes whose disk is admitted ask, stand, grant and are counted (admission.py).

Votes proper: one per node and term, durable before it leaves, counted once per voter. Standing itself (new term, own
vote, request_vote) is PySyncObj's; its timer is kept stopped except when this module lets it stand.
"""

import math
from typing import TYPE_CHECKING

from pysyncobj import syncobj as pysyncobj_module

from lastunit_node.replica import timing
from lastunit_node.replica.admission import Admission, Claim
from lastunit_node.replica.messages import Message
from lastunit_node.replica.promise import Candidate, Promise
from lastunit_node.replica.syncobj import CANDIDATE, LEADER

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.follower import Follower
    from lastunit_node.replica.syncobj import RaftHooks


class Elections:
    """One node's part in elections. Times in monotonic seconds."""

    def __init__(self, raft: "RaftHooks", name: str, follower: "Follower", admission: Admission) -> None:
        self._raft = raft
        self._name = name
        self._promise = Promise(name)
        self._follower = follower
        self._admission = admission
        self._deadline = math.inf  # when to ask for pre-votes
        self._round = 0  # of pre-votes; answers to an earlier one do not count
        self._granted: set[str] = set()
        self._voters: set[str] = set()
        self._voters_term = 0

    def postpone(self) -> None:
        """Wait a full, random timeout from now; what was about to stand does not."""
        self._end_round()
        self._deadline = self._raft.now() + self._raft.random_timeout()

    def _end_round(self) -> None:
        """Grants that came do not let it stand, nor those that come later: they were for what has passed."""
        self._round += 1
        if self._raft.election_deadline != math.inf:
            self._raft.take_election_deadline()

    def step(self) -> None:
        """Before a turn: ask for pre-votes when it is time, and let PySyncObj stand only when that was granted."""
        set_by_pysyncobj = self._raft.election_deadline
        if set_by_pysyncobj == 0:
            self._forget_it_when_cut_off()
            return
        if set_by_pysyncobj != math.inf:  # it stood, and this is when it would stand again
            self._deadline = self._raft.take_election_deadline()
        now = self._raft.now()
        if self._raft.role != LEADER and now > self._deadline:
            if self._promise.is_to_another(now):
                self._deadline = self._soon()
            else:
                self._ask()

    def _forget_it_when_cut_off(self) -> None:
        """PySyncObj would let it stand when anyone is connected again: then others lead, and what granted it is old."""
        if not self._raft.connected:
            self._raft.forget_transfer()
            self.postpone()

    def on_leader_lost(self) -> None:
        """The connection to the leader closed: forget that it was heard, and ask soon."""
        self._follower.forget_leader()
        self._deadline = min(self._deadline, self._soon())

    def _soon(self) -> float:
        return self._raft.now() + float(timing.LOST_LEADER * pysyncobj_module.random.random())

    # Pre-votes.

    def _ask(self) -> None:
        raft = self._raft
        self.postpone()
        if not self._admission.may_stand:
            return
        self._round += 1
        self._granted.clear()
        self._promise.ask(self._as_candidate(), [peer.id for peer in raft.connected], raft.now())
        for peer in raft.peers:
            raft.send(
                peer,
                {
                    "type": "pre_vote",
                    "term": raft.term,
                    "round": self._round,
                    "last_log_index": raft.journal.last_index,
                    "last_log_term": raft.journal.last_term,
                },
            )

    def _as_candidate(self) -> Candidate:
        return Candidate(self._raft.journal.last_term, self._raft.journal.last_index, self._name)

    def on_pre_vote(self, node: "Node", message: Message) -> None:
        """Say whether this node would vote for the asker in its next term; if so, it waits a little for that."""
        raft, now = self._raft, self._raft.now()
        asker = Candidate(message["last_log_term"], message["last_log_index"], node.id)
        misses_leader = raft.role != LEADER and not self._follower.heard_within(timing.ELECTION_MIN)
        granted = misses_leader and message["term"] >= raft.term and self._may_vote_for(node, message)
        granted = granted and self._promise.is_free_for(asker, now)
        if granted:
            self._promise.give(asker, now)
        answer = {"type": "pre_vote_response", "term": raft.term, "round": message["round"], "granted": granted}
        raft.send(node, answer)

    def on_pre_vote_response(self, node: "Node", message: Message) -> None:
        """Count a grant of this round; with a majority, stand."""
        raft = self._raft
        if self._adopt_newer_term(message):
            return
        if message["round"] != self._round:
            return
        self._promise.answered(node.id, granted=message["granted"])
        if not self._is_counted(node, message):
            return
        self._granted.add(node.id)
        if 1 + len(self._granted) >= raft.majority:
            self._round += 1
            self._promise.keep(self._as_candidate(), raft.now())
            raft.stand()

    def _adopt_newer_term(self, message: Message) -> bool:
        if message["term"] <= self._raft.term:
            return False
        self._raft.set_term(message["term"], None)
        self._raft.forget_transfer()
        self._raft.become_follower(None)
        self._end_round()
        return True

    # Votes.

    def on_request_vote(self, node: "Node", message: Message) -> None:
        """Grant or refuse; either way say the own term, so that a candidate that is behind learns it."""
        raft = self._raft
        self._adopt_newer_term(message)
        free = message["term"] == raft.term and raft.voted_for in (None, node.id)
        granted = free and self._may_vote_for(node, message)
        if granted:
            raft.set_term(raft.term, node.id)
            raft.forget_transfer()
            self.postpone()
        raft.send(node, {"type": "response_vote", "term": raft.term, "granted": granted})

    def _may_vote_for(self, node: "Node", message: Message) -> bool:
        journal = self._raft.journal
        is_up_to_date = (message["last_log_term"], message["last_log_index"]) >= (journal.last_term, journal.last_index)
        return is_up_to_date and self._admission.may_vote_for(node.id, message)

    def _is_counted(self, node: "Node", message: Message) -> bool:
        """Whether this is a grant, of a node whose word counts, to one that may stand."""
        claim = Claim.of(message)
        return bool(message["granted"]) and self._admission.may_stand and self._admission.accepts(node.id, claim)

    def on_response_vote(self, node: "Node", message: Message) -> None:
        """Count a vote that was given in the term this node stands in."""
        raft = self._raft
        if self._adopt_newer_term(message):
            return
        if raft.role == CANDIDATE and message["term"] == raft.term and self._is_counted(node, message):
            if self._voters_term != raft.term:
                self._voters, self._voters_term = set(), raft.term
            self._voters.add(node.id)
            raft.count_votes(1 + len(self._voters))

    def on_timeout_now(self, node: "Node", message: Message) -> None:
        """The present leader hands leadership over: stand at once."""
        if message["term"] == self._raft.term and node == self._raft.leader and self._admission.may_stand:
            self._raft.stand_for_transfer()
