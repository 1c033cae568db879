"""msgpack, with the options of our formats: the one module that imports it.

Lists come back as tuples. Map keys are strings or bytes, strings are valid UTF-8, and no length is believed that the
data cannot hold: unpack raises ValueError, and nothing else, on bytes that break this.
"""

from collections.abc import Callable
from typing import Any, Final

import msgpack

_idle: Final[list[Callable[[object], bytes]]] = []  # pack() of Packers that nobody is using; a new one has 256 kB


def pack(value: object) -> bytes:
    """Bytes of nested tuples of integers, strings, bytes and None. Any thread.

    A Packer may be paused in the middle of a value: for a named tuple it makes an iterator, which may set off a garbage
    collection, which may run Python code of somebody's, where another thread takes over. With one Packer for all
    threads, what both of them wrote was mixed (test_packing.py).
    """
    try:
        mine = _idle.pop()
    except IndexError:
        mine = msgpack.Packer(use_bin_type=True).pack
    packed = mine(value)
    _idle.append(mine)
    return packed


def unpack(data: bytes) -> Any:
    """The value in these bytes. Raises ValueError."""
    return msgpack.unpackb(data, use_list=False, raw=False, strict_map_key=True)
