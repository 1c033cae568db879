"""Files and folders that are still there after a power loss."""

import os
from contextlib import suppress
from pathlib import Path


def write_durably(path: Path, text: str) -> None:
    """Put a file in its place, whole, with what it says on disk."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def sync_above(path: Path) -> None:
    """Sync the folders above, up to where the file system begins: each may be as new as this one, or have renamed one.

    A folder that its own parent forgets is lost, however well what is in it was synced.
    """
    device = path.stat().st_dev
    for folder in path.resolve().parents:
        if folder.stat().st_dev != device:
            return
        with suppress(PermissionError):  # not ours to read, and so not made by us either
            sync(folder)


def sync(path: Path) -> None:
    """Make durable what a file says, or which files a folder has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
