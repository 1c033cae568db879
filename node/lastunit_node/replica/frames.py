"""Frames between nodes: four bytes of length, then one msgpack value. Sans-IO, data only.

Nothing that came from a peer is ever unpickled: msgpack makes numbers, strings, bytes, tuples and dicts, and no more.
A frame is bounded before it is read, so a stranger cannot make a node hold more than one.
"""

import struct
from typing import Any, Final

import msgpack

from lastunit_node.replica.messages import MalformedMessage
from lastunit_node.statemachine.packing import pack

MAX_FRAME_BYTES: Final = 4 << 20  # above MAX_APPEND_BYTES plus one entry of MAX_ENTRY_BYTES
_LENGTH: Final = struct.Struct("!I")


def encode_frame(value: Any) -> bytes:
    """The frame of a value made of None, bool, int, str, bytes, lists, tuples and dicts."""
    payload = pack(value)
    assert len(payload) <= MAX_FRAME_BYTES, len(payload)
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Collects received bytes and gives back the values of whole frames. Arrays come as tuples."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take what was received; every value that is complete now. Raises MalformedMessage."""
        self._buffer += data
        values, start = [], 0
        while (end := self._end_of_frame(start)) is not None:
            values.append(_decode(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return values

    def _end_of_frame(self, start: int) -> int | None:
        """Where the frame that begins here ends; None when it is not all here."""
        if len(self._buffer) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, start)
        if length > MAX_FRAME_BYTES:
            raise MalformedMessage(f"a frame of {length} bytes is over the bound of {MAX_FRAME_BYTES}")
        end: int = start + _LENGTH.size + length
        return end if end <= len(self._buffer) else None


def _decode(frame: bytearray) -> Any:
    try:
        return msgpack.unpackb(frame, use_list=False)
    except (ValueError, RecursionError) as problem:
        raise MalformedMessage(f"a frame cannot be decoded: {problem}") from None
