"""`lastunit-node rejoin`: an empty data directory in the place of one that is lost or damaged.

The new disk knows nothing and counts for nothing: it fetches what it lacks, and the leader admits it to the cluster
(replica/admission.py). Whatever is left of the old directory is moved aside, never deleted; nor is a disk moved aside
without which those that count would be no majority (counting.py).
"""

import errno
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

from lastunit_node.config import ClusterConfig
from lastunit_node.counting import ASIDE, require_majority_without
from lastunit_node.datadir import IDENTITY, DirectoryLock, DirectoryRefused, format_directory, require_same_members
from lastunit_node.node_files import holds_data


def rejoin_node(config: ClusterConfig, node: str, cluster_id: str | None = None) -> str:
    """Make the directory; one line about what was done. Raises DirectoryRefused, and nothing has changed then."""
    path = config.node_dir(node)
    with ExitStack() as held:
        if path.is_dir():
            held.enter_context(closing(DirectoryLock(path)))  # refused while the node runs
        known = find_cluster_id(config, node, cluster_id)
        require_majority_without(config, node, known)
        aside = move_aside(path) if holds_data(path) else None
        format_directory(path, config.cluster, known, config.nodes, node, founding=False)
    moved = f"; what was there is in {aside}, the way back should the others elect no leader" if aside else ""
    return f"{path} is new and empty{moved}. The node catches up when it runs, and counts once the leader admits it"


def find_cluster_id(config: ClusterConfig, node: str, given: str | None) -> str:
    """The cluster's id: as given, as this node's old identity says, or as other nodes' directories beside it do."""
    found = {each for each in (given, *_ids_on_disk(config)) if each}
    if not found:
        raise DirectoryRefused(
            f"the id of the cluster is not known: no identity.json of it is left in {config.data_dir}. Give it with "
            "--cluster-id, as it stands in the identity.json of any other node"
        )
    if len(found) > 1:
        raise DirectoryRefused(f"which cluster is {node} to join? {' and '.join(sorted(found))} were found")
    return found.pop()


def _ids_on_disk(config: ClusterConfig) -> Iterator[str]:
    """Of the identities of this cluster's nodes that can be read here. Raises DirectoryRefused for other members."""
    for node in config.nodes:
        file = config.node_dir(node) / IDENTITY
        try:
            identity = json.loads(file.read_text(encoding="utf-8"))
            if identity["cluster"] == config.cluster and isinstance(identity["cluster_id"], str):
                require_same_members(file, identity["members"], config.nodes)
                yield identity["cluster_id"]
        except (OSError, ValueError, KeyError, TypeError):
            continue


def move_aside(path: Path) -> Path:
    """Rename a directory to the first free name of its kind; that name. DirectoryRefused for a disk of its own."""
    names = (path.with_name(ASIDE.format(node=path.name, number=number)) for number in count(1))
    aside = next(name for name in names if not name.exists())
    try:
        path.rename(aside)
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        raise DirectoryRefused(
            f"{path} is a disk of its own, which cannot be renamed: move what is in it to another place, or mount an "
            "empty disk there; then rejoin"
        ) from None
    return aside
