"""The nodes' data directories: made together when a cluster is born, erased together when it starts over.

They are made only while no node of the cluster has one. A directory that is missing among others is refused: its node
may have acknowledged what it no longer has, and must not be taken for a new one; it rejoins. What is not ours is never
erased, nor is what a rejoin has put aside.
"""

import errno
import fcntl
import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lastunit_node.cli.errors import LocalClusterError
from lastunit_node.config import ClusterConfig
from lastunit_node.node_files import DATA_FILES, FILE_SYSTEMS_OWN, LOG_FILES, holds_data, matches

FORMAT_LIMIT_S: Final = 30.0


def is_locked(path: Path) -> bool:
    """Whether some process holds this lock file."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class DataDirectories:
    """The data directories of all nodes of one cluster."""

    def __init__(self, config: ClusterConfig, program: Sequence[str]) -> None:
        self._config = config
        self._program = program

    @contextmanager
    def usable(self) -> Iterator[None]:
        """While something is done there: what the operating system refuses is a LocalClusterError."""
        try:
            yield
        except OSError as problem:
            place = f" ({problem.filename})" if problem.filename else ""
            raise LocalClusterError(
                f"data_dir {self._config.data_dir}: {problem.strerror}{place}; make it writable, or set another in "
                f"{self._config.path}"
            ) from problem

    def has_data(self, node: str) -> bool:
        """Whether a node's directory holds data."""
        with self.usable():
            return holds_data(self._config.node_dir(node))

    def exist(self) -> bool:
        """True when every node has data, False when none has.

        LocalClusterError when some do and some do not, or when the cluster file has come to name other nodes.
        """
        self._require_same_members()
        missing = [node for node in self._config.nodes if not self.has_data(node)]
        if missing and len(missing) < len(self._config.nodes):
            raise LocalClusterError(
                f"no data of {', '.join(missing)} in {self._config.data_dir}, while other nodes have theirs: "
                f"{self._way_back(missing)}, or lose all data and start over with `lastunit up --fresh`"
            )
        return not missing

    def _require_same_members(self) -> None:
        for folder in self._folders():
            members = self._identity(folder).get("members")
            if isinstance(members, list) and sorted(map(str, members)) != sorted(self._config.nodes):
                raise LocalClusterError(
                    f"{folder} says that the members of the cluster are {', '.join(map(str, members))}, but "
                    f"{self._config.path} names {', '.join(self._config.nodes)}: a cluster keeps the members that it "
                    "was born with; name those"
                )

    def _way_back(self, missing: Sequence[str]) -> str:
        if 2 * len(missing) < len(self._config.nodes):
            others = ", ".join(f"`lastunit start {node}`" for node in self._config.nodes if node not in missing)
            return f"run the others ({others}), and let it catch up from them with `lastunit rejoin {missing[0]}`"
        return "too few are left to elect a leader; put back what was there, as it was left"

    def in_use(self, node: str) -> bool:
        """Whether a process, known to us or not, holds a node's directory."""
        with self.usable():
            return is_locked(self._config.node_dir(node) / "LOCK")

    def format(self) -> None:
        """Make the directories of a new cluster. LocalClusterError when a node has data."""
        present = [node for node in self._config.nodes if self.has_data(node)]
        if present:
            raise LocalClusterError(
                f"{', '.join(present)} has data in {self._config.data_dir} already; "
                f"start it with `lastunit up`, or lose it with `lastunit up --fresh`"
            )
        cluster_id = str(uuid.uuid4())
        try:
            for node in self._config.nodes:
                self._format_node(node, cluster_id)
        except BaseException:
            self._delete(DATA_FILES)  # half a cluster would be refused ever after
            raise

    def rejoin(self, node: str) -> str:
        """Make a directory in the place of a lost or damaged one; one line about what was done."""
        if not any(self.has_data(other) for other in self._config.nodes if other != node):
            raise LocalClusterError(f"no other node has data in {self._config.data_dir}: there is nothing to rejoin")
        return self._run("rejoin", node)

    def _format_node(self, node: str, cluster_id: str) -> None:
        with self.usable():
            self._config.node_dir(node).mkdir(parents=True, exist_ok=True)
        self._run("format", node, "--cluster-id", cluster_id)

    def _run(self, verb: str, node: str, *options: str) -> str:
        """Let the node's program do it; what it says."""
        command = [*self._program, verb, "--config", str(self._config.path), "--node", node, *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FORMAT_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise LocalClusterError(
                f"`lastunit-node {verb}` of {node} took longer than {FORMAT_LIMIT_S:g} s and was ended: see whether "
                f"the disk of {self._config.node_dir(node)} is slow or hangs, then try again"
            ) from None
        said = " ".join(done.stderr.split())
        if done.returncode:
            raise LocalClusterError(f"`lastunit-node {verb}` of {node} failed: {said}")
        return said

    def erase(self) -> None:
        """Delete the files in all directories, the logs with them; a directory may be a disk of its own, and stays.

        LocalClusterError, and nothing deleted, when one is not ours, or is not to be written to.
        """
        with self.usable():
            for folder in self._folders():
                self._require_ours(folder)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        self._delete(LOG_FILES + DATA_FILES)

    def _folders(self) -> list[Path]:
        """What lies in the places of the directories."""
        folders = [self._config.node_dir(node) for node in self._config.nodes]
        return [folder for folder in folders if folder.is_symlink() or folder.exists()]

    def _delete(self, patterns: tuple[str, ...]) -> None:
        with self.usable():
            for folder in self._folders():
                for path in folder.iterdir():
                    if matches(path, patterns):
                        path.unlink()

    def _require_ours(self, folder: Path) -> None:
        strange = [path.name for path in folder.iterdir() if not self._is_known(path)]
        if strange:
            raise LocalClusterError(f"{folder} holds {strange[0]}, which no node made; it is not deleted")
        owner = self._owner(folder)
        if owner != self._config.cluster:
            raise LocalClusterError(f"{folder} holds data of the cluster {owner!r}; it is not deleted")

    @staticmethod
    def _is_known(path: Path) -> bool:
        if path.is_dir():
            return path.name == FILE_SYSTEMS_OWN
        return matches(path, LOG_FILES + DATA_FILES)

    def _owner(self, folder: Path) -> str:
        """Name of the cluster whose data a directory holds; ours when it does not say."""
        return str(self._identity(folder).get("cluster", self._config.cluster))

    @staticmethod
    def _identity(folder: Path) -> dict[str, Any]:
        """What the data in a directory says whose it is; nothing when that cannot be read."""
        try:
            identity = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return identity if isinstance(identity, dict) else {}

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other `lastunit` commands from starting or erasing nodes meanwhile; LocalClusterError when one does."""
        with self.usable():
            self._config.data_dir.mkdir(parents=True, exist_ok=True)
            control = (self._config.data_dir / "CONTROL").open("ab")
        with control as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LocalClusterError(
                    f"another lastunit command is starting nodes in {self._config.data_dir}; try again when it is done"
                ) from None
            yield
