"""Which nodes' disks count, as far as the files in one data_dir tell, and whether one of them can be done without.

A disk that a rejoin made counts once it is admitted (replica/admission.py). Where those that count are no majority,
nobody is elected, for ever: a disk that is needed for one is not put aside. Where no other node's data lies beside this
one's, nothing is known of the others, and a disk may be.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import JOURNAL, DirectoryRefused
from lastunit_node.replica.owner import SELECT_OWNER, Owner
from lastunit_node.wal.scan import wal_of

ASIDE: Final = "{node}.old-{number}"


def require_majority_without(config: ClusterConfig, node: str, cluster_id: str) -> None:
    """Raise DirectoryRefused when this node's disk counts, and those of the others that do are no majority."""
    disks = {each: owner_of(config.node_dir(each), cluster_id, each) for each in config.nodes}
    own = disks.pop(node)
    if not counts(own) or not any(disks.values()):
        return
    left = [each for each, owner in disks.items() if counts(owner)]
    if 2 * len(left) > len(config.nodes):
        return
    reasons = [_reason(each, owner) for each, owner in disks.items() if each not in left]
    ways_back = [
        way for each in disks if each not in left for way in _way_back(config.node_dir(each), cluster_id, each)
    ]
    otherwise = f"; or stop all nodes, and put back what was there: {listed(ways_back)}" if ways_back else ""
    raise DirectoryRefused(
        f"the disk of {node} is needed: without it {len(left)} of {len(config.nodes)} would count, which elect nobody; "
        f"{listed(reasons)}. Start {listed(list(config.nodes))} first, and rejoin when `lastunit status` says of no "
        f"other node that it is not admitted{otherwise}"
    )


def owner_of(folder: Path, cluster_id: str, node: str) -> Owner | None:
    """What a node's journal says of its disk, whether the node runs or not; None when it says nothing of this node."""
    file = folder / JOURNAL
    try:
        with closing(sqlite.connect(file, "ro") if wal_of(file).exists() else sqlite.look_at(file)) as connection:
            sqlite.keep_wal(connection, keep=True)
            row = connection.execute(SELECT_OWNER).fetchone()
    except sqlite.READ_ERRORS:
        return None
    owner = Owner.of(row) if row else None
    return owner if owner and owner[:2] == (cluster_id, node) else None


def counts(owner: Owner | None) -> bool:
    """Whether a disk counts: it was there when the cluster was born, or was admitted since."""
    return owner is not None and bool(owner.founding or owner.admitted)


def listed(names: Sequence[str]) -> str:
    """`n1, n2 and n3`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _reason(node: str, owner: Owner | None) -> str:
    if owner is None:
        return f"that of {node} is lost or cannot be read"
    return f"that of {node} is new and does not count until the leader has admitted it"


def _way_back(folder: Path, cluster_id: str, node: str) -> list[str]:
    """What was put aside of a node last, and counted, if anything was."""
    place = folder.resolve()
    beside = place.parent.glob(ASIDE.format(node=place.name, number="*"))
    good = [each for each in beside if counts(owner_of(each, cluster_id, node))]
    return [f"{max(good, key=lambda each: each.stat().st_ctime)} as {place}"] if good else []
