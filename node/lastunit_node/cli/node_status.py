"""How one node of the local cluster stands: its process, and what it said of itself when it answered."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from lastunit.v1 import cluster_pb2
from lastunit_node.cli.processes import ProcessState


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node. All from `role` on is None while it gives no answer. Indexes are log indexes, the clock is in ticks."""

    node: str
    process: ProcessState
    pid: int | None
    role: str | None = None  # follower, candidate, leader
    leader: str | None = None  # who it thinks leads; None for nobody
    term: int | None = None
    last_index: int | None = None
    commit_index: int | None = None
    applied_index: int | None = None
    clock: int | None = None
    has_quorum: bool | None = None
    is_admitted: bool | None = None  # False: its disk is new, and does not count yet
    hash_index: int | None = None  # the index the two hashes belong to
    chain: str | None = None  # hex
    digest: str | None = None  # hex
    version: str | None = None

    @classmethod
    def of(
        cls, node: str, process: ProcessState, pid: int | None, answer: cluster_pb2.GetStatusResponse | None
    ) -> Self:
        """From a node's answer, if it gave one."""
        if answer is None:
            return cls(node, process, pid)
        return cls(
            node=node,
            process=process,
            pid=pid,
            role=cluster_pb2.Role.Name(answer.role).removeprefix("ROLE_").lower(),
            leader=answer.leader or None,
            term=answer.term,
            last_index=answer.last_index,
            commit_index=answer.commit_index,
            applied_index=answer.applied_index,
            clock=answer.clock,
            has_quorum=answer.has_quorum,
            is_admitted=answer.is_admitted,
            hash_index=answer.state_hash.index,
            chain=answer.state_hash.chain.hex(),
            digest=answer.state_hash.digest.hex(),
            version=answer.version,
        )

    @property
    def answers(self) -> bool:
        """Whether the node answered."""
        return self.role is not None

    def as_json(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)
