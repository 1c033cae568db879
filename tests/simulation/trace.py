"""The story of a seed: told when asked for, and always condensed into one hash, so that two runs can be compared."""

import sys
from hashlib import blake2b

from simulation.clock import Clock


class Trace:
    """Lines for people; lines and messages for the hash."""

    def __init__(self, clock: Clock, *, aloud: bool) -> None:
        self._clock, self._aloud = clock, aloud
        self._hash = blake2b(digest_size=8)

    def say(self, line: str) -> None:
        line = f"{self._clock.now:10.6f} {line}"
        self.absorb(line.encode())
        if self._aloud:
            print(line, file=sys.stderr)

    def absorb(self, data: bytes) -> None:
        self._hash.update(data)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()
