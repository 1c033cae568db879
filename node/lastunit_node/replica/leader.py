"""The leader's half of replication: send each follower what it lacks, believe only answers that fit.

One Progress per follower (progress.py). Sends happen once a turn, after this turn's proposals were added, so that the
commit index travels with the next entries when there are any.
"""

from typing import TYPE_CHECKING, Final

from lastunit_node.replica import timing
from lastunit_node.replica.admission import Admission, Claim
from lastunit_node.replica.messages import Message
from lastunit_node.replica.progress import Progress
from lastunit_node.replica.syncobj import LEADER

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.entry_cache import LogEntry
    from lastunit_node.replica.syncobj import RaftHooks

MAX_APPEND_BYTES: Final = 1 << 20  # a message holds entries until they reach this
MAX_APPEND_ENTRIES: Final = 1024


def _acked(progress: Progress) -> tuple[str, int] | None:
    """What a follower is asked about when it may have been away: the disk that acknowledged, and up to where."""
    return (progress.instance, progress.match) if progress.match else None


def _news_sent(item: "tuple[Node, Progress]") -> float:
    return item[1].news_sent


class Leader:
    """Replicates this node's log while it leads."""

    def __init__(self, raft: "RaftHooks", admission: Admission) -> None:
        self._raft = raft
        self._admission = admission
        self._progress: dict[Node, Progress] = {}
        self._message: Message = {}  # the last one with entries, of
        self._message_key = (0, 0, 0, 0)
        self._told = 0  # the index before the entries with which a follower heard of commits

    def on_elected(self) -> None:
        """Forget what an earlier term knew of the followers."""
        no_op = self._raft.no_op_index
        self._progress = {peer: Progress(next=no_op) for peer in self._raft.peers}

    def on_connection_lost(self, node: "Node") -> None:
        """What was in flight is gone."""
        progress = self._progress.get(node)
        if progress is not None:
            progress.become_probe()
            progress.last_sent = float("-inf")

    def forget(self, node: "Node") -> None:
        """Another disk answers for this node: nothing is known of its log."""
        if node in self._progress:
            self._progress[node] = Progress(next=self._raft.journal.last_index + 1)
            self._raft.set_match_index(node, 0)

    def match_index(self, node: "Node") -> int:
        """Last index the follower is known to hold."""
        progress = self._progress.get(node)
        return progress.match if progress else 0

    def match_indexes(self) -> list[int]:
        """Of all followers."""
        return [progress.match for progress in self._progress.values()]

    def is_done_with(self, node: "Node") -> bool:
        """Whether all there is in the log is committed and applied, this follower has it, and no caller there waits."""
        raft, progress = self._raft, self._progress.get(node)
        if raft.role != LEADER or progress is None or progress.probing:
            return False
        last = raft.journal.last_index
        return progress.match == last == raft.last_applied and not progress.is_awaiting(last)

    def forwarded(self, node: "Node") -> None:
        """An entry of this follower was added just now: a caller waits there."""
        progress = self._progress.get(node)
        if progress is not None:
            progress.awaited = self._raft.journal.last_index

    def tell_those_who_wait(self) -> None:
        """Tell followers whose callers wait that their entries are committed, before this node takes time to apply."""
        now, commit, start = self._raft.now(), self._raft.commit_index, self._raft.journal.first_index
        for node, progress in self._progress.items():
            if progress.is_awaiting(commit) and progress.previous >= start and node in self._raft.connected:
                self._send(node, progress, [], now)

    def send_appends(self) -> None:
        """Send every connected follower the entries, commit index or heartbeat that is due; first who waits longest."""
        now, connected = self._raft.now(), self._raft.connected
        for node, progress in sorted(self._progress.items(), key=_news_sent):
            if node in connected:
                self._send_due(node, progress, now)

    def _send_due(self, node: "Node", progress: Progress, now: float) -> None:
        heartbeat_due = now - progress.last_sent >= timing.HEARTBEAT
        if progress.previous < self._raft.journal.first_index:
            if heartbeat_due:
                self._send_log_start(node, progress, now)
            return
        last_index = self._raft.journal.last_index
        sent = False
        while progress.may_send_entries and progress.next <= last_index:
            self._send(node, progress, self._next_entries(progress.next), now)
            sent = True
        unprobed = progress.probing and not progress.probe_in_flight
        if not sent and (heartbeat_due or unprobed or progress.commit_is_due(self._raft.commit_index, now)):
            self._send(node, progress, [], now)

    def _next_entries(self, first: int) -> "list[LogEntry]":
        entries = self._raft.journal.entries(first, first + MAX_APPEND_ENTRIES)
        size = 0
        for count, entry in enumerate(entries, 1):
            size += len(entry[0])
            if size >= MAX_APPEND_BYTES:
                return entries[:count]
        return entries

    def _send(self, node: "Node", progress: Progress, entries: "list[LogEntry]", now: float) -> None:
        raft, previous = self._raft, progress.previous
        commit = self._commit_to_tell(progress, entries, now)
        progress.sent(previous + len(entries), sum(len(entry[0]) for entry in entries), commit, now)
        message = self._append_message(previous, entries, commit)
        raft.send(node, {**message, "acked": _acked(progress)} if progress.probing else message)

    def _commit_to_tell(self, progress: Progress, entries: "list[LogEntry]", now: float) -> int:
        """News for which nobody waits goes to one follower at a time, or all would apply at once.

        Where nodes share processors, the leader would wait for one when the next acknowledgements come.
        """
        commit = progress.commit_to_tell(self._raft.commit_index, now)
        if entries and commit > progress.commit_sent and not progress.probing and not progress.is_awaiting(commit):
            if self._told == progress.previous:
                return progress.commit_sent
            self._told = progress.previous
        return commit

    def _append_message(self, previous: int, entries: "list[LogEntry]", commit: int) -> Message:
        """The same one again for the next follower that is told the same: the link then encodes it once.

        It is the same while this node leads, for a leader takes nothing of its log back.
        """
        key = (self._raft.term, previous, len(entries), commit)
        if key != self._message_key:
            self._message_key = key
            self._message = {
                "type": "append",
                "term": self._raft.term,
                "prev_index": previous,
                "prev_term": self._raft.journal.term_at(previous),
                "entries": entries,
                "commit_index": commit,
                "log_start": 0,
            }
        return self._message

    def _send_log_start(self, node: "Node", progress: Progress, now: float) -> None:
        """A heartbeat for a follower that lacks entries this log no longer has: it proves and commits nothing."""
        raft = self._raft
        message = {
            "type": "append",
            "term": raft.term,
            "prev_index": progress.previous,
            "prev_term": raft.journal.term_at(raft.journal.first_index),  # of the entry at log_start
            "entries": [],
            "commit_index": 0,
            "log_start": raft.journal.first_index,
            "acked": _acked(progress),
        }
        progress.sent(progress.previous, 0, 0, now)
        raft.send(node, message)

    def on_append_response(self, node: "Node", message: Message) -> None:
        """Learn from an answer that was given in this term, to this log, and could be true; count it if it counts."""
        raft = self._raft
        if message["term"] > raft.term:
            raft.set_term(message["term"], None)
            raft.become_follower(None)
        progress = self._progress.get(node)
        if raft.role != LEADER or message["term"] != raft.term or progress is None:
            return
        last_index = raft.journal.last_index
        if message["prev_index"] > last_index or message["last"] > last_index:
            return
        counts = self._admission.accepts(node.id, Claim.of(message))
        if counts:
            raft.heard_from(node)
        else:
            raft.set_match_index(node, 0)
        if not message["success"] and message["prev_index"] < raft.journal.first_index <= message["last"]:
            progress.starts_after(message["last"])
        elif not message["success"]:
            progress.rejected(message["prev_index"], message["last"])
        elif message["last"] >= message["prev_index"]:
            progress.succeeded(message["last"], message["instance"])
            raft.set_match_index(node, progress.match if counts else 0)
