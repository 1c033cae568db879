"""Frames between nodes: four bytes of length, then one msgpack value. Sans-IO, data only.

Nothing that came from a peer is ever unpickled: msgpack makes numbers, strings, bytes, tuples and dicts, and no more.
A frame is bounded before it is read, so a stranger cannot make a node hold more than one.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgpack

from lastunit_node.replica.messages import MalformedMessage

MAX_FRAME_BYTES: Final = 4 << 20  # above MAX_APPEND_BYTES plus one entry of MAX_ENTRY_BYTES
_LENGTH: Final = struct.Struct("!I")


def encode_frame(value: Any) -> bytes:
    """The frame of a value made of None, bool, int, str, bytes, lists, tuples and dicts."""
    payload: bytes = msgpack.packb(value)
    assert len(payload) <= MAX_FRAME_BYTES, len(payload)
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Collects received bytes and gives back the values of whole frames. Arrays come as tuples."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take what was received; yield every value that is complete. Raises MalformedMessage."""
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            try:
                yield msgpack.unpackb(frame, use_list=False)
            except (ValueError, RecursionError) as problem:
                raise MalformedMessage(f"a frame cannot be decoded: {problem}") from None

    def _next_frame(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME_BYTES:
            raise MalformedMessage(f"a frame of {length} bytes is over the bound of {MAX_FRAME_BYTES}")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return frame
