"""The bytes of a -wal file: a header, then frames of one database page each.

From "WAL File Format" in https://sqlite.org/fileformat2.html, section 4.1. All integers are big-endian; the magic
number says in which byte order the checksums read the data.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from lastunit_node.wal.checksum import Sums, extend

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24

_HEADER: Final = struct.Struct(">IIII8sII")
_FRAME_HEADER: Final = struct.Struct(">8s8sII")
_NO_COMMIT: Final = bytes(4)
_ORDERS: Final = {0x377F0682: "<", 0x377F0683: ">"}  # by magic number
_VERSION: Final = 3_007_000
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))


class Header(NamedTuple):
    """What the frames of the present log have in common. A log that starts over in the same file has other salts."""

    order: str  # of the bytes in the checksums' words
    page_size: int
    salts: bytes
    sums: Sums  # with which the first frame's checksum goes on


class Frame(NamedTuple):
    """One page as some transaction left it. Its checksum covers head and page."""

    head: bytes  # number of the page, size of the database after a commit or 0
    salts: bytes
    sums: Sums  # as stored in it
    page: bytes

    @property
    def commits(self) -> bool:
        """Whether it is the last frame of its transaction."""
        return self.head[4:] != _NO_COMMIT


def read_header(data: bytes) -> Header | None:
    """The header of a file's bytes; None when it is damaged or incomplete."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, page_size, _, salts, *stored = _HEADER.unpack_from(data)
    if magic not in _ORDERS or version != _VERSION or page_size not in _PAGE_SIZES:
        return None
    sums = extend((0, 0), data[: HEADER_BYTES - 8], _ORDERS[magic])
    return Header(_ORDERS[magic], page_size, salts, sums) if sums == tuple(stored) else None


def read_frames(data: bytes, header: Header) -> Iterator[Frame]:
    """The whole frames in a file's bytes, whatever they hold."""
    size = FRAME_HEADER_BYTES + header.page_size
    for start in range(HEADER_BYTES, len(data) - size + 1, size):
        head, salts, *sums = _FRAME_HEADER.unpack_from(data, start)
        yield Frame(head, salts, (sums[0], sums[1]), data[start + FRAME_HEADER_BYTES : start + size])
