"""Bugs of the journal, of replication and of elections. Several are what stock PySyncObj 0.3.17 does."""

from collections.abc import Callable, Mapping
from typing import Any

from lastunit_node.replica import (
    admission,
    elections,
    follower,
    journal,
    leader,
    peers,
    progress,
    promise,
    raft,
    syncobj,
)
from simulation.planting import mutant, replace

# Journal.


@mutant("forget the vote")
def forget_the_vote() -> None:
    replace(journal.SqliteJournal, "_read_vote", lambda read: lambda self: (read(self)[0], None))


@mutant("forget the term")
def forget_the_term() -> None:
    replace(journal.SqliteJournal, "_read_vote", lambda _read: lambda _self: (0, None))


@mutant("vote before it is durable")
def vote_unsynced() -> None:
    def set_term(self: Any, term: int, vote: str | None) -> None:
        self._term, self._voted_for, self._vote_unsynced = term, vote, True

    replace(journal.SqliteJournal, "setCurrentTerm", lambda _set: set_term)


@mutant("lose the journal's last entry on restart")
def lose_the_tail() -> None:
    def open_short(read: Callable[..., None]) -> Callable[..., None]:
        def opened(self: Any, *arguments: Any, **options: Any) -> None:
            read(self, *arguments, **options)
            if self.last_index > self.first_index:
                self.cut_from(self.last_index)

        return opened

    replace(journal.SqliteJournal, "__init__", open_short)


@mutant("say synced, and write nothing")
def pretend_to_sync() -> None:
    def sync(self: Any) -> None:
        self._durable, self._cut_from, self._vote_unsynced = self.last_index, None, False

    replace(journal.SqliteJournal, "sync", lambda _sync: sync)
    replace(journal.SqliteJournal, "trim", lambda _trim: lambda _self, _keep_from, _limit: None)  # it would not get by


@mutant("apply before it is durable")
def apply_unsynced() -> None:
    def end_turn(original: Callable[..., None]) -> Callable[..., None]:
        def end(self: Any) -> None:
            self.journal.sync = lambda: None
            original(self)
            del self.journal.sync

        return end

    replace(journal.SqliteJournal, "setRaftCommitIndex", lambda _set: lambda _self, _index: None)
    replace(raft.Raft, "_end_turn", end_turn)


# Followers.


@mutant("acknowledge before the sync")
def acknowledge_unsynced() -> None:
    def flush(self: Any) -> None:
        answers, self._answers = self._answers, []
        for node, answer in answers:
            self._raft.send(node, answer)

    replace(follower.Follower, "flush", lambda _flush: flush)


@mutant("cut the log on every overlap (stock)")
def cut_on_overlap() -> None:
    def append(self: Any, message: Mapping[str, Any]) -> None:
        log, first = self._raft.journal, message["prev_index"] + 1
        if log.first_index < first <= log.last_index:
            log.cut_from(first)
        for entry in message["entries"]:
            if entry[1] > log.last_index:
                log.add(*entry)

    replace(follower.Follower, "_append", lambda _append: append)


@mutant("commit what the message did not prove")
def commit_unproved() -> None:
    def learn(self: Any, message: Mapping[str, Any]) -> None:
        self._learn_commit(min(message["commit_index"], self._raft.journal.last_index))

    def on_append(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, node: Any, message: Mapping[str, Any]) -> None:
            original(self, node, message)
            if message["term"] == self._raft.term and self._find_mismatch(message) is None:
                learn(self, message)

        return handle

    replace(follower.Follower, "on_append", on_append)


@mutant("keep conflicting entries")
def keep_conflicts() -> None:
    def append(self: Any, message: Mapping[str, Any]) -> None:
        for entry in message["entries"]:
            if entry[1] > self._raft.journal.last_index:
                self._raft.journal.add(*entry)

    replace(follower.Follower, "_append", lambda _append: append)


@mutant("take any previous entry for the right one")
def skip_the_previous_term() -> None:
    def find(self: Any, message: Mapping[str, Any]) -> int | None:
        last: int = self._raft.journal.last_index
        return last if message["prev_index"] > last else None

    replace(follower.Follower, "_find_mismatch", lambda _find: find)


@mutant("follow a leader of an earlier term")
def follow_old_leaders() -> None:
    def on_append(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, node: Any, message: Mapping[str, Any]) -> None:
            original(self, node, {**message, "term": max(message["term"], self._raft.term)})

        return handle

    replace(follower.Follower, "on_append", on_append)


# Leaders.


@mutant("count acknowledgements of any term, and beyond the log (stock)", nodes=5)
def count_stale_acknowledgements() -> None:
    def on_append_response(self: Any, node: Any, message: Mapping[str, Any]) -> None:
        if self._raft.role == syncobj.LEADER and node in self._progress:
            self._raft.heard_from(node)
            if message["success"]:
                self._progress[node].succeeded(message["last"], message["instance"])
                self._raft.set_match_index(node, message["last"])
            else:
                self._progress[node].rejected(message["prev_index"], message["last"])

    replace(leader.Leader, "on_append_response", lambda _original: on_append_response)


@mutant("ignore rejections")
def ignore_rejections() -> None:
    replace(progress.Progress, "rejected", lambda _rejected: lambda _self, _previous, _hint: False)


@mutant("believe a match without asking")
def assume_a_match() -> None:
    def sent(original: Callable[..., None]) -> Callable[..., None]:
        def send(self: Any, last: int, *more: Any) -> None:
            original(self, last, *more)
            self.match = max(self.match, last)

        return send

    replace(progress.Progress, "sent", sent)


@mutant("move next_index back on a success (stock)")
def move_next_back() -> None:
    def succeeded(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, last: int, instance: str) -> None:
            original(self, last, instance)
            self.next = last + 1

        return handle

    replace(progress.Progress, "succeeded", succeeded)


# Elections.


@mutant("vote for a log that is behind")
def vote_for_anyone() -> None:
    def may_vote_for(original: Callable[..., bool]) -> Callable[..., bool]:
        blank = {"last_log_term": 1 << 60, "last_log_index": 1 << 60}
        return lambda self, node, message: original(self, node, {**message, **blank})

    replace(elections.Elections, "_may_vote_for", may_vote_for)


@mutant("count one vote twice (stock)", nodes=5, bound=150)
def count_votes_twice() -> None:
    class Ballots(list[str]):
        def add(self, voter: str) -> None:
            self.append(voter)

    def on_response_vote(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, node: Any, message: Mapping[str, Any]) -> None:
            if self._voters_term != self._raft.term:
                self._voters, self._voters_term = Ballots(), self._raft.term
            original(self, node, message)

        return handle

    replace(elections.Elections, "on_response_vote", on_response_vote)


@mutant("vote twice in a term")
def vote_twice() -> None:
    replace(syncobj.RaftHooks, "voted_for", lambda _vote: property(lambda _self: None))


@mutant("let votes split", nodes=5, bound=150)
@mutant("let votes split")
def let_votes_split() -> None:
    replace(promise.Promise, "is_free_for", lambda _is_free: lambda _self, _asker, _now: True)
    replace(promise.Promise, "is_to_another", lambda _is_to: lambda _self, _now: False)


# Disks that are lost (rule 9).


@mutant("let a wiped node vote and count", bound=150)
def let_a_wiped_node_vote() -> None:
    def index(original: Callable[..., int]) -> Callable[..., int]:
        return lambda self: max(original(self), admission.UNCONTESTED)

    replace(admission.Admission, "_index_of_admission", index)


@mutant("count a wiped node's acknowledgements", bound=150)
def count_wiped_acknowledgements() -> None:
    def on_append_response(original: Callable[..., None]) -> Callable[..., None]:
        claim = {"instance": "", "admitted": 1 << 60}
        return lambda self, node, message: original(self, node, {**message, **claim})

    replace(leader.Leader, "on_append_response", on_append_response)


@mutant("vote in the term of admission", bound=150)
def vote_in_the_term_of_admission() -> None:
    replace(admission.Admission, "_abstain", lambda _abstain: lambda _self, _term: None)


@mutant("hear the old disk of a node and the new one", bound=150)
def hear_both_disks() -> None:
    def accept_all(_original: Callable[..., bool]) -> Callable[..., bool]:
        return lambda _self, _row: True

    replace(peers.Peers, "heard", lambda _heard: lambda _self, _node, _message: True)
    replace(admission.Claim, "holds_against", accept_all)
