"""`lastunit-node rejoin`: an empty data directory in the place of one that is lost or damaged.

The new disk knows nothing and counts for nothing: it fetches what it lacks, and the leader admits it to the cluster
(replica/admission.py). Whatever is left of the old directory is moved aside, never deleted; nor is a disk moved aside
without which those that count would be no majority (counting.py).
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.counting import ASIDE, require_majority_without
from lastunit_node.datadir import IDENTITY, DirectoryLock, DirectoryRefused, format_directory, require_same_members
from lastunit_node.durable_files import sync
from lastunit_node.node_files import DATA_FILES, holds_data, matches

FRESH: Final = "{node}.new-{number}"


def rejoin_node(config: ClusterConfig, node: str, cluster_id: str | None = None) -> str:
    """Make the directory; one line about what was done. Raises DirectoryRefused, and nothing has changed then."""
    path = place_of(config.node_dir(node))
    with ExitStack() as held:
        if path.is_dir():
            held.enter_context(closing(DirectoryLock(path)))  # refused while the node runs
        known = find_cluster_id(config, node, cluster_id)
        require_majority_without(config, node, known)
        new = partial(
            format_directory, cluster=config.cluster, cluster_id=known, members=config.nodes, node=node, founding=False
        )
        aside = replace(path, new) if holds_data(path) else None
        if aside is None:
            make_whole(path, new)
    moved = f"; what was there is in {aside}, the way back should the others elect no leader" if aside else ""
    return f"{path} is new and empty{moved}. The node catches up when it runs, and counts once the leader admits it"


def place_of(path: Path) -> Path:
    """Where a directory lies: a link to it stays, and what it leads to is another disk's. DirectoryRefused for none."""
    place = Path(os.path.realpath(path))
    if path.is_symlink() and not place.parent.is_dir():
        raise DirectoryRefused(
            f"{path} is a link to {place}, where {place.parent} is no folder: mount the disk, or make that folder; "
            "then rejoin"
        )
    return place


def replace(path: Path, new: Callable[[Path], None]) -> Path:
    """Put a new directory in the place of one that holds data; where that is now.

    The new one is made first, beside it. Raises DirectoryRefused, and the old one is where it was.
    """
    fresh = free_name(path, FRESH)
    try:
        make_whole(fresh, new)
        return swap(path, fresh)
    except (OSError, sqlite.Error) as problem:
        raise DirectoryRefused(
            f"{path} is as it was, for no new directory could be put in its place: {sqlite.say(problem)}. See to that "
            "(free space, and who may write there), then rejoin again"
        ) from problem
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # what is left of it, when it did not take its place


def make_whole(path: Path, new: Callable[[Path], None]) -> None:
    """Make a directory where no data is, or leave none there: half of it would be taken for what is left of a disk."""
    try:
        new(path)
    except BaseException:
        for file in path.iterdir() if path.is_dir() else ():
            if matches(file, DATA_FILES):
                file.unlink()
        raise


def swap(path: Path, fresh: Path) -> Path:
    """Move a directory aside, and another one into its place, for good; where the first one is now."""
    aside = move_aside(path)
    try:
        fresh.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    sync(path.parent)
    return aside


def find_cluster_id(config: ClusterConfig, node: str, given: str | None) -> str:
    """The cluster's id: as given, and as the other nodes' identities beside it say, or else what is left of its own."""
    others = [each for each in config.nodes if each != node]
    on_disk = list(_ids_on_disk(config, others)) or list(_ids_on_disk(config, [node]))
    found = {each for each in (given, *on_disk) if each}
    if not found:
        raise DirectoryRefused(
            f"the id of the cluster is not known: no identity.json of it is left in {config.data_dir}. Give it with "
            "--cluster-id, as it stands in the identity.json of any other node"
        )
    if len(found) > 1:
        raise DirectoryRefused(
            f"which cluster is {node} to join? {' and '.join(sorted(found))} were found, as --cluster-id or in the "
            f"identity.json of nodes in {config.data_dir}: move away the directories of the wrong one, then rejoin"
        )
    return found.pop()


def _ids_on_disk(config: ClusterConfig, nodes: Iterable[str]) -> Iterator[str]:
    """Of the identities of this cluster's nodes that can be read here. Raises DirectoryRefused for other members."""
    for node in nodes:
        file = config.node_dir(node) / IDENTITY
        try:
            identity = json.loads(file.read_text(encoding="utf-8"))
            if identity["cluster"] == config.cluster and isinstance(identity["cluster_id"], str):
                require_same_members(file, identity["members"], config.nodes)
                yield identity["cluster_id"]
        except (OSError, ValueError, KeyError, TypeError):
            continue


def free_name(path: Path, kind: str) -> Path:
    """The first free name of its kind, beside a directory."""
    names = (path.with_name(kind.format(node=path.name, number=number)) for number in count(1))
    return next(name for name in names if not name.exists())


def move_aside(path: Path) -> Path:
    """Rename a directory to the first free name of its kind; that name. DirectoryRefused for a disk of its own."""
    aside = free_name(path, ASIDE)
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
