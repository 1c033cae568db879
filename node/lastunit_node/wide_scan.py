"""A large state, read by all cores: a start reads every row before it serves one, and a row costs 2 us.

Each share of the rows, and the indexes, are read by a process of their own, on a connection of its own, while this one
lets SQLite look at the pages. Nobody writes meanwhile: the data directory is locked. They end with the
thread that began them, however its process ends: else they would read on beside those of the next start.
"""

import ctypes
import errno
import os
import signal
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
from lastunit_node.statemachine.integrity import problem_of_indexes
from lastunit_node.statemachine.tables import scan_digest, scan_share

WIDE_BYTES: Final = 64 << 20  # a smaller state is read in less time than processes take to start

UNREADABLE_EXIT: Final = 65  # EX_DATAERR
DISK_FAILED_EXIT: Final = 74  # EX_IOERR
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class ScanEnded(OSError):
    """A process that reads the state was ended, or failed for a bug: that says nothing about the state."""


def is_wide(path: Path) -> bool:
    """Whether a state is so large that reading it takes a while."""
    return path.stat().st_size >= WIDE_BYTES


class WideScan:
    """Processes that read a state from now on, until the end of the block. A small state is read only when asked."""

    def __init__(self, path: Path, shares: int | None = None) -> None:
        """shares: how many processes; by itself, one for each core if the state is large."""
        if shares is None:
            shares = (os.cpu_count() or 1) if is_wide(path) else 1
        is_alone = shares <= 1
        self._indexes = None if is_alone else _begin(path)
        self._shares = [] if is_alone else [_begin(path, str(share), str(shares)) for share in range(shares)]

    @property
    def processes(self) -> "list[subprocess.Popen[str]]":
        """All of them."""
        return self._shares if self._indexes is None else [self._indexes, *self._shares]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def digest(self, connection: sqlite.Connection) -> bytes:
        """The digest of all rows. Raises sqlite.Error when they cannot be read, OSError of the disk, ScanEnded."""
        if not self._shares:
            return scan_digest(connection)
        digest = Digest()
        for process in self._shares:
            digest.join(bytes.fromhex(_told_by(process)))
        return digest.to_bytes()

    def problem_of_indexes(self, connection: sqlite.Connection) -> str | None:
        """Which index does not fit its table. Raises as digest() does."""
        return problem_of_indexes(connection) if self._indexes is None else _told_by(self._indexes) or None


def _begin(path: Path, *share: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", __name__, str(os.getpid()), str(path), *share]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _told_by(process: "subprocess.Popen[str]") -> str:
    told, _ = process.communicate()
    ended = process.returncode
    if ended == UNREADABLE_EXIT:
        raise sqlite.Error(f"rows cannot be read: {told.strip()}")
    if ended == DISK_FAILED_EXIT:
        raise OSError(errno.EIO, told.strip())
    if ended:
        how = f"status {ended}" if ended > 0 else signal.Signals(-ended).name
        raise ScanEnded(
            f"a process that read the state ended by {how} (for want of memory, if it was SIGKILL); that says nothing "
            "about the data: start the node again"
        )
    return told


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, which may have happened already. It says nothing then."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def main(arguments: Sequence[str]) -> int:
    """Print the digest of one share of the rows; without a share, which index is damaged. Else why not."""
    path, *share = arguments
    try:
        with closing(open_reader(Path(path))) as reader:
            told = scan_share(reader, *map(int, share)).hex() if share else problem_of_indexes(reader)
            sys.stdout.write(told or "")
    except sqlite.READ_ERRORS as problem:
        sys.stdout.write(sqlite.say(problem))
        return DISK_FAILED_EXIT if sqlite.has_disk_failed(problem) else UNREADABLE_EXIT
    return 0


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
