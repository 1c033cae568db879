"""Which files of a directory are a node's: its data, and what is no loss.

A directory without data is as good as empty, whatever else lies in it: a disk of its own comes with lost+found.
"""

from fnmatch import fnmatch
from pathlib import Path
from typing import Final

LOG_FILES: Final = ("node.log", "node.pid*", "LOCK")
DATA_FILES: Final = ("identity.*", "state*.db*", "copy-*", "journal.db*")
FILE_SYSTEMS_OWN: Final = "lost+found"


def matches(path: Path, patterns: tuple[str, ...]) -> bool:
    """Whether a file's name is one of these."""
    return any(fnmatch(path.name, pattern) for pattern in patterns)


def holds_data(folder: Path) -> bool:
    """Whether a directory is there, and holds data of a node, or some of it."""
    return folder.is_dir() and any(matches(path, DATA_FILES) for path in folder.iterdir())
