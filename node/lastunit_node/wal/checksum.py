"""The checksum of SQLite's -wal format: two running sums over pairs of 32-bit words, each frame continuing the last.

From "WAL File Format" in https://sqlite.org/fileformat2.html, section 4.2. It can be run backwards, which tells what
sums must have stood before some data.
"""

import struct
from typing import Final

Sums = tuple[int, int]

_MASK: Final = (1 << 32) - 1


def extend(sums: Sums, data: bytes, order: str) -> Sums:
    """The sums after more data, whose length is a multiple of 8; order of the bytes in a word: ">" or "<"."""
    first, second = sums
    words = iter(_words(data, order))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


def retract(sums: Sums, data: bytes, order: str) -> Sums:
    """The sums before some data, after which they were these."""
    first, second = sums
    words = reversed(_words(data, order))
    for odd, even in zip(words, words, strict=True):
        second = (second - odd - first) & _MASK
        first = (first - even - second) & _MASK
    return first, second


def between(before: Sums, after: Sums, order: str) -> bytes:
    """The only 8 bytes that lead from these sums to those."""
    even = (after[0] - before[0] - before[1]) & _MASK
    odd = (after[1] - before[1] - after[0]) & _MASK
    return struct.pack(f"{order}2I", even, odd)


def _words(data: bytes, order: str) -> tuple[int, ...]:
    return struct.unpack(f"{order}{len(data) // 4}I", data)
