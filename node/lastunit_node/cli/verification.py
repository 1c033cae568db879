"""Do all nodes hold the same state, and does each hold the rows it should? Judged from their answers. Pure.

A node is asked two things: to read all its rows and recompute their digest, which must be the one it keeps; and for
its hashes at an index that all nodes have applied, which must be those of a majority of the cluster.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lastunit.v1 import cluster_pb2
from lastunit_node.cli.errors import ExitStatus
from lastunit_node.cli.node_status import NodeStatus


class Finding(StrEnum):
    """What was found of one node."""

    GOOD = "good"
    DAMAGED = "damaged"  # its rows are not those that it applied
    DIFFERS = "differs"  # its hashes are not those of the majority
    NOT_ASKED = "not asked"  # it gave no answer to one of the questions


ADVICE: Final = {
    Finding.DAMAGED: (
        "rows of its state were changed behind its back, and it stops by itself; the others go on. "
        "Then let it catch up from them, on a new disk, with `lastunit rejoin {node}`"
    ),
    Finding.DIFFERS: (
        "its state is not that of a majority of the nodes. Stop it with `lastunit kill {node}` if it does not stop by "
        "itself; then let it catch up from the others, on a new disk, with `lastunit rejoin {node}`"
    ),
    Finding.NOT_ASKED: "{problem}; see `lastunit status`, and verify again when it answers",
}


@dataclass(frozen=True, slots=True)
class NodeScan:
    """What a node's scan gave. Digests in hex. `problem` says why there is nothing else."""

    index: int | None = None  # of the snapshot that was scanned
    rows: int | None = None
    kept: str | None = None
    scanned: str | None = None
    problem: str = ""
    unreadable: bool = False  # the node could not read its own rows

    @classmethod
    def of(cls, answer: cluster_pb2.ScanStateResponse) -> "NodeScan":
        """From a node's answer."""
        return cls(answer.kept.index, answer.rows, answer.kept.digest.hex(), answer.scanned_digest.hex())

    @property
    def is_damaged(self) -> bool:
        """Whether the rows are certainly not what they should be."""
        return self.unreadable or self.scanned != self.kept


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """One node: what was found, and from what. Hashes in hex, at the index that was compared."""

    node: str
    finding: Finding
    advice: str
    scan: NodeScan
    compared_index: int | None
    chain: str | None
    digest: str | None


def judge(scans: Mapping[str, NodeScan], statuses: Mapping[str, NodeStatus]) -> list[NodeVerdict]:
    """A verdict per node. statuses: with the hashes at one index, of those that answered."""
    hashes = {node: (status.chain, status.digest) for node, status in statuses.items() if status.answers}
    right = right_hashes(hashes, len(scans))
    return [_verdict(node, scan, statuses[node], right) for node, scan in scans.items()]


Hashes = tuple[str | None, str | None]


def right_hashes(hashes: Mapping[str, Hashes], nodes: int) -> set[Hashes]:
    """The chain and digest that count as right: a majority's; or all while nothing contradicts; else none."""
    if len(set(hashes.values())) <= 1:
        return set(hashes.values())
    return {each for each, count in Counter(hashes.values()).items() if 2 * count > nodes}


def _verdict(node: str, scan: NodeScan, status: NodeStatus, right: set[Hashes]) -> NodeVerdict:
    finding = _finding(scan, status, right)
    problem = scan.problem or "it gave no hash at the index that all were asked for"
    advice = ADVICE.get(finding, "").format(node=node, problem=problem)
    return NodeVerdict(node, finding, advice, scan, status.hash_index, status.chain, status.digest)


def _finding(scan: NodeScan, status: NodeStatus, right: set[Hashes]) -> Finding:
    if scan.is_damaged:
        return Finding.DAMAGED
    if status.answers and (status.chain, status.digest) not in right:
        return Finding.DIFFERS
    return Finding.NOT_ASKED if scan.problem or not status.answers else Finding.GOOD


def exit_status(verdicts: list[NodeVerdict]) -> ExitStatus:
    """ACCEPTED when all nodes are good, REFUSED when one is not, FAILED when one could not be asked."""
    findings = {verdict.finding for verdict in verdicts}
    if findings & {Finding.DAMAGED, Finding.DIFFERS}:
        return ExitStatus.REFUSED
    return ExitStatus.FAILED if Finding.NOT_ASKED in findings else ExitStatus.ACCEPTED
