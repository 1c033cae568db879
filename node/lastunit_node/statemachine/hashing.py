"""The state's two hashes: the chain over what was applied, and the digest of the rows that stand.

The digest is the sum of the hashes of all logical rows mod 2**128: it is kept as rows come and go, in any order, and
a scan of the rows gives the same number. Nothing in either depends on a node or on how transactions were grouped.

The chain is BLAKE2b. A row's hash is XXH3: every order pays for one on every node, and a start for those of all rows.
It finds damage and nodes that went apart, which is what the digest is for; it is no proof against who would forge rows.
"""

import zlib
from collections.abc import Iterable
from hashlib import blake2b
from itertools import repeat
from typing import Any, Final

from xxhash import xxh3_128_intdigest

from lastunit_node.statemachine.packing import pack

HASH_BYTES: Final = 16
_MASK: Final = (1 << 8 * HASH_BYTES) - 1


def seed_of(table: str) -> int:
    """What makes the same row of two tables two hashes."""
    return zlib.crc32(table.encode())


def chain_hash(previous: bytes, index: int, term: int, entry: bytes, results: bytes) -> bytes:
    """H(previous, index, term, entry, results), 16 bytes."""
    return blake2b(pack((previous, index, term, entry, results)), digest_size=HASH_BYTES).digest()


def state_crc(applied_index: int, applied_term: int, chain: bytes, digest: bytes) -> int:
    """CRC-32 of the row that says how far the log is applied: neither hash covers its own row."""
    return zlib.crc32(pack((applied_index, applied_term, chain, digest)))


class RowHashes:
    """The rows of one table that came and went since the digest was last asked for."""

    __slots__ = ("came", "seed", "went")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.came: list[tuple[Any, ...]] = []
        self.went: list[tuple[Any, ...]] = []

    def take_sum(self) -> int:
        """The sum of the hashes of what came, without those of what went; both are empty then."""
        total = _sum(self.seed, self.came)
        self.came.clear()
        if self.went:
            total -= _sum(self.seed, self.went)
            self.went.clear()
        return total


class Digest:
    """The sum of row hashes, mod 2**128."""

    def __init__(self, value: int = 0) -> None:
        self._value = value
        self._tables: list[RowHashes] = []

    def of_table(self, seed: int) -> RowHashes:
        """Where the rows of a table are told that come and go."""
        rows = RowHashes(seed)
        self._tables.append(rows)
        return rows

    @classmethod
    def from_bytes(cls, value: bytes) -> "Digest":
        """The digest that to_bytes gave."""
        return cls(int.from_bytes(value, "big"))

    def to_bytes(self) -> bytes:
        """16 bytes, big-endian."""
        for rows in self._tables:
            if rows.came or rows.went:
                self._value += rows.take_sum()
        return (self._value & _MASK).to_bytes(HASH_BYTES, "big")

    def join(self, digest: bytes) -> None:
        """All the rows of another digest came."""
        self._value += int.from_bytes(digest, "big")

    def add_all(self, seed: int, rows: Iterable[tuple[Any, ...]]) -> None:
        """Many rows of one table came."""
        self._value += _sum(seed, rows)


def _sum(seed: int, rows: Iterable[tuple[Any, ...]]) -> int:
    """The sum of the hashes of rows."""
    return sum(map(xxh3_128_intdigest, map(pack, rows), repeat(seed)))
