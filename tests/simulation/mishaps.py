"""What strikes a node in the middle of its work: it dies, or its disk fails, at the so manieth step from now."""

from collections.abc import Iterable
from dataclasses import dataclass

import apsw

MESSAGE, WRITE, COPY = "message", "write", "copy"  # steps: one leaves; before and after a transaction; of a catch-up


class Crash(BaseException):
    """The process dies here."""

    def __init__(self, kind: str, *, power: bool) -> None:
        super().__init__(kind)
        self.kind, self.power = kind, power


class DiskFailed(apsw.IOError):
    """What SQLite raises when the operating system would not write (EIO)."""

    def __init__(self) -> None:
        super().__init__("disk I/O error")
        self.result = apsw.SQLITE_IOERR


@dataclass
class Mishap:
    """Strikes when so many steps of these kinds are left."""

    kinds: frozenset[str]
    left: int
    what: BaseException


class Mishaps:
    """Those that wait for one node."""

    def __init__(self) -> None:
        self._waiting: list[Mishap] = []

    def arm(self, what: BaseException, kinds: Iterable[str], steps: int) -> None:
        self._waiting.append(Mishap(frozenset(kinds), steps, what))

    def step(self, kind: str) -> None:
        """Something happens now. Raises what strikes."""
        for mishap in self._waiting:
            if kind in mishap.kinds:
                mishap.left -= 1
                if mishap.left <= 0:
                    self._waiting.remove(mishap)
                    raise mishap.what

    def forget(self, *, copies_too: bool) -> None:
        """A new life begins; what waits for a catch-up goes on waiting, for they are rare."""
        self._waiting = [] if copies_too else [mishap for mishap in self._waiting if COPY in mishap.kinds]
