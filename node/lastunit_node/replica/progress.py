"""What a leader knows about one follower, and when it may send: etcd's progress (docs/raft-rules.md, rule 2). Pure.

probe: the follower's log is not known; one message with entries is in flight. Should it be lost, a heartbeat finds out.
replicate: an append succeeded; messages are pipelined, so many in flight.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from lastunit_node.replica import timing

MAX_IN_FLIGHT: Final = 64  # messages sent and not answered; the bound on what a slow follower costs the leader
MAX_IN_FLIGHT_BYTES: Final = 8 << 20


@dataclass(slots=True)
class Progress:
    """match: last index known to be in the follower's log (on the disk `instance`). next: first index to send."""

    next: int
    match: int = 0
    instance: str = ""
    probing: bool = True
    probe_in_flight: bool = False
    commit_sent: int = 0
    news_sent: float = float("-inf")  # when commit_sent was
    awaited: int = 0  # up to this index somebody at the follower waits for the commit
    last_sent: float = float("-inf")
    _in_flight: deque[tuple[int, int]] = field(default_factory=deque)  # (last index, bytes) per message
    _in_flight_bytes: int = 0

    @property
    def previous(self) -> int:
        """Index before the first one of the next message (prevLogIdx)."""
        return self.next - 1

    @property
    def may_send_entries(self) -> bool:
        """Whether entries may be sent now."""
        if self.probing:
            return not self.probe_in_flight
        return len(self._in_flight) < MAX_IN_FLIGHT and self._in_flight_bytes < MAX_IN_FLIGHT_BYTES

    def commit_is_due(self, commit: int, now: float) -> bool:
        """Whether the follower is to hear of a newer commit index now, if need be in a message of its own."""
        is_news = not self.probing and self.commit_sent < commit
        return self.is_awaiting(commit) or (is_news and now - self.news_sent >= timing.COMMIT_NEWS_ALONE)

    def commit_to_tell(self, commit: int, now: float) -> int:
        """The commit index for the next message.

        At once where a caller waits for it. Elsewhere not with every message, so that the follower applies many
        entries in one go.
        """
        is_due = now - self.news_sent >= timing.COMMIT_NEWS
        return commit if self.probing or is_due or self.is_awaiting(commit) else self.commit_sent

    def is_awaiting(self, commit: int) -> bool:
        """Whether a caller at the follower waits to hear that the log is committed so far."""
        return not self.probing and self.commit_sent < min(commit, self.awaited)

    def sent(self, last: int, size: int, commit: int, now: float) -> None:
        """A message with entries next..last (none when last < next) and so many entry bytes has left."""
        if commit > self.commit_sent:
            self.commit_sent, self.news_sent = commit, now
        self.last_sent = now
        if self.probing:
            self.probe_in_flight = True
        elif last >= self.next:
            self._in_flight.append((last, size))
            self._in_flight_bytes += size
            self.next = last + 1

    def succeeded(self, last: int, instance: str) -> None:
        """The follower's disk has everything up to last. next never moves back on a success."""
        self.instance = instance
        self.match = max(self.match, last)
        self.next = max(self.next, self.match + 1)
        self.probing = self.probe_in_flight = False
        while self._in_flight and self._in_flight[0][0] <= self.match:
            self._in_flight_bytes -= self._in_flight.popleft()[1]

    def rejected(self, previous: int, hint: int) -> bool:
        """The follower's log does not hold `previous`; hint is the last index that might agree. False if stale."""
        if previous <= self.match:
            return False
        if self.probing and previous != self.previous:
            return False
        self.become_probe(max(self.match + 1, min(previous, hint + 1)) if self.probing else self.match + 1)
        return True

    def starts_after(self, last: int) -> None:
        """The leader's log starts past what it believed of the follower, whose log ends at `last`."""
        self.become_probe(max(self.match, last) + 1)

    def become_probe(self, next_index: int | None = None) -> None:
        """Forget what is in flight (the connection broke, or a rejection came) and find out again.

        Where nothing is known of the follower's log, the search goes on from where it was.
        """
        if next_index is None:
            next_index = self.match + 1 if self.match else self.next
        self.next = next_index
        self.probing, self.probe_in_flight = True, False
        self._in_flight.clear()
        self._in_flight_bytes = 0
