"""What the front end sees of a replica: propose bytes, learn the result of applying them; read snapshots; status."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from lastunit_node.statemachine.queries import Snapshot
from lastunit_node.statemachine.results import Applied, Parameters, Scan, StateHash


class FailureReason(Enum):
    """Why one attempt to propose ended without a result; value is the ErrorInfo reason (UPPER_SNAKE)."""

    QUEUE_FULL = "QUEUE_FULL"  # definite: refused before it reached a log
    NO_LEADER = "NO_LEADER"  # definite: this node knew no leader, nothing was sent
    DISCARDED = "DISCARDED"  # definite: overwritten in the log by another leader's entry
    NOT_LEADER = "NOT_LEADER"  # indefinite: the node it was sent to refused it, though a twin may have got through
    LEADER_CHANGED = "LEADER_CHANGED"  # indefinite: the leader it was sent to is gone
    TIMED_OUT = "TIMED_OUT"  # indefinite: no outcome within about two election timeouts
    UNKNOWN = "UNKNOWN"  # indefinite: applied without this node seeing the result
    STOPPING = "STOPPING"  # definite: this node is shutting down and did not propose it


DEFINITE = frozenset(
    {
        FailureReason.QUEUE_FULL,
        FailureReason.NO_LEADER,
        FailureReason.DISCARDED,
        FailureReason.STOPPING,
    }
)


class ProposalFailed(Exception):
    """One attempt to propose an entry ended without a result. May be proposed again: ids make that safe."""

    def __init__(self, reason: FailureReason) -> None:
        super().__init__(reason.value)
        self.reason = reason

    @property
    def definite(self) -> bool:
        """True when this attempt certainly was not and will not be applied."""
        return self.reason in DEFINITE


class TransferFailed(Exception):
    """Leadership was not transferred; the message says why and what to do."""


class ScanUnderWay(Exception):
    """One scan of the state at a time."""


class ScanFailed(Exception):
    """Rows of the state cannot be read; the message says why. The node stops."""


class SnapshotRefused(Exception):
    """The state of this node is damaged, and is read no more. The node stops."""


class ReadRefused(Exception):
    """The system would not read the state now: the disk, or for want of descriptors or memory; the message says why.

    That says nothing about the rows. The node goes on.
    """


class Role(Enum):
    """Raft role."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class Status:
    """How a node stands. Indexes are log indexes; clock in ticks."""

    role: Role
    leader: str | None  # node name
    term: int
    last_index: int
    commit_index: int
    applied_index: int  # in a committed SQLite transaction: what a read sees
    clock: int
    has_quorum: bool  # from answers, not from sockets
    is_behind: bool  # the leader's log starts after this node's ends: only a copy of a state helps
    is_admitted: bool  # its disk is one that votes and counts; else it follows, and waits for the leader to admit it
    parameters: Parameters | None  # None until the cluster's Configure entry is applied


Facts = tuple[
    Role, str | None, int, int, int, int, int, bool, bool, bool, Parameters | None
]  # the fields of a Status, in their order
CLOCK: Final = 6  # the position of the clock among them


class Replica(Protocol):
    """One node's replica. All methods are called on the asyncio loop the replica was started on."""

    async def propose(self, entry: bytes) -> Applied:
        """Propose one entry, wherever the leader is; wait until it is applied on this node.

        One attempt: raises ProposalFailed within about two election timeouts. A snapshot() sees the returned index
        after wait_applied(). A bounded number of calls may be in flight (the batcher has one under way); they reach the
        leader in the order of the calls.
        """
        ...

    async def wait_applied(self, index: int) -> None:
        """Return once a new snapshot() sees at least `index`. Cancel it to give up."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One consistent read of the state at one applied index. Close it before awaiting anything.

        Raises SnapshotRefused, also from within, when what is read turns out to be damaged.
        """
        ...

    def hash_at(self, index: int) -> StateHash | None:
        """Both hashes at a recent applied index; None when it is no longer (or not yet) at hand."""
        ...

    def hold_log(self, index: int, seconds: float) -> None:
        """Keep the log after index for so long: a copy of the state that stands there is under way."""
        ...

    async def scan(self) -> Scan:
        """Read all rows of the state, off the loop, and hold them against the digest. Cancel it to give up.

        Raises ScanUnderWay, ScanFailed and ReadRefused. A node that finds itself damaged answers, and then stops.
        """
        ...

    def fail(self, problem: BaseException) -> None:
        """The state is damaged: answer nothing from it any more, and stop when what says so has left."""
        ...

    def clock(self) -> int:
        """As status() says: ticks. For every call that comes, for which a Status would be too dear."""
        ...

    def status(self) -> Status:
        """How this node stands now. Never blocks."""
        ...

    async def transfer_leadership(self, target: str | None) -> str:
        """Hand leadership to `target` (None: the follower that is furthest); the new leader's name.

        Raises TransferFailed. Only on the leader.
        """
        ...
