"""Intervals of the replica in seconds. They pace; they decide nothing."""

from typing import Final

HEARTBEAT: Final = 0.05
COMMIT_NEWS: Final = 0.01  # where nobody waits, a follower hears of commits so often, with entries
COMMIT_NEWS_ALONE: Final = 0.02  # when no entries came that could carry them: a message costs three wake-ups
ELECTION_MIN: Final = 0.5
ELECTION_MAX: Final = 1.0
STATE_COMMIT: Final = 0.03  # so long results may be known whose rows no read sees yet; a read that waits ends it
STATE_COMMIT_WHEN_BUSY: Final = 2 * STATE_COMMIT  # by a leader that waits for acknowledgements
LOST_LEADER: Final = 0.05  # at most so long after the leader's connection closed, a follower asks who would vote for it
PROMISE: Final = 0.2  # a node that would vote for one candidate lets no other one try for so long
STEP_DOWN: Final = 2 * ELECTION_MAX  # a leader without answers from a majority for so long is none
ATTEMPT: Final = 2 * ELECTION_MAX  # a proposal without an outcome after so long is proposed again
TRANSFER: Final = ELECTION_MAX  # how long proposals wait for a transfer of leadership
LOOK_AT_LINKS: Final = 0.01  # between looks for connections to make, to close, to keep alive
CONNECT_RETRY: Final = 0.1  # to dial, and to accept when the system has refused that
CONNECT_LIMIT: Final = 1.0  # to connect and to say hello
KEEPALIVE: Final = 1.0  # a peer that was sent nothing for so long is sent a sign of life
CONNECTION_SILENCE: Final = 3.5
APPLY_PER_TURN: Final = 0.02  # applying longer would keep heartbeats waiting
POLL: Final = 0.02  # longest wait for a socket in one turn
COMPACTION: float = 1.0  # between looks at whether the journal can be trimmed; not Final, for tests lower it
CONFIGURE_RETRY: Final = 1.0  # a leader proposes again what it proposes by itself
REFUSED: Final = 60.0  # a node says so often that it refuses a peer, or cannot accept one, and why
STUCK: Final = 10.0  # without a leader for so long, a node says why there can be none, and so often
LAST_ANSWER: Final = 0.5  # for the answer that says that this node is damaged to leave, before it stops
COMPARE: Final = 1.0  # nodes compare the hashes of their states at least so often, while entries are applied
