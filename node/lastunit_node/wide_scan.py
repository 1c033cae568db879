"""The digest of a large state, by all cores: a start reads every row before it serves one, and a row costs 2 us.

Each share of the rows is read by a process of its own, on a connection of its own, while this one lets SQLite look at
pages and indexes. Nobody writes meanwhile: the data directory is locked.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lastunit_node import sqlite
from lastunit_node.statemachine.database import open_reader
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.tables import scan_digest, scan_share

WIDE_BYTES: Final = 64 << 20  # a smaller state is read in less time than processes take to start


def is_wide(path: Path) -> bool:
    """Whether a state is so large that reading it takes a while."""
    return path.stat().st_size >= WIDE_BYTES


class WideScan:
    """Processes that read a state from now on, until the end of the block. A small state is read only when asked."""

    def __init__(self, path: Path, shares: int | None = None) -> None:
        """shares: how many processes; by itself, one for each core if the state is large."""
        if shares is None:
            shares = (os.cpu_count() or 1) if is_wide(path) else 1
        self._processes = [self._begin(path, share, shares) for share in range(shares)] if shares > 1 else []

    @staticmethod
    def _begin(path: Path, share: int, shares: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-P", "-m", __name__, str(path), str(share), str(shares)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def digest(self, connection: sqlite.Connection) -> bytes:
        """The digest of all rows. Raises sqlite.Error when they cannot be read."""
        if not self._processes:
            return scan_digest(connection)
        digest = Digest()
        for process in self._processes:
            told, _ = process.communicate()
            if process.returncode:
                raise sqlite.Error(f"rows cannot be read: {told.strip() or process.returncode}")
            digest.join(bytes.fromhex(told))
        return digest.to_bytes()


def main(arguments: Sequence[str]) -> int:
    """Print the digest of one share of the rows; or why it cannot be had, and return 1."""
    path, share, shares = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    try:
        with closing(open_reader(path)) as reader:
            sys.stdout.write(scan_share(reader, share, shares).hex())
    except sqlite.Error as problem:
        sys.stdout.write(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
