"""msgpack, with the options of our formats: the one module that imports it.

Lists come back as tuples. Map keys are strings or bytes, strings are valid UTF-8, and no length is believed that the
data cannot hold: unpack raises ValueError, and nothing else, on bytes that break this.
"""

from collections.abc import Callable
from typing import Any, Final

import msgpack

# Bytes of nested tuples of integers, strings, bytes and None. msgpack's own function: what a call more costs is paid
# four times an order.
pack: Final[Callable[[object], bytes]] = msgpack.Packer(use_bin_type=True).pack


def unpack(data: bytes) -> Any:
    """The value in these bytes. Raises ValueError."""
    return msgpack.unpackb(data, use_list=False, raw=False, strict_map_key=True)
