"""Frames: whole values out of a stream of bytes, or a malformed one."""

import struct

import msgpack
import pytest

from lastunit_node.replica.frames import MAX_FRAME_BYTES, FrameReader, encode_frame
from lastunit_node.replica.messages import MalformedMessage


def test_frames_come_whole_however_they_were_cut() -> None:
    values = [{"a": 1}, [b"x" * 1000, 2], "text", None]
    stream = b"".join(map(encode_frame, values))
    for size in (1, 3, 7, 1000, len(stream)):
        reader = FrameReader()
        found = [value for start in range(0, len(stream), size) for value in reader.feed(stream[start : start + size])]
        assert found == [{"a": 1}, (b"x" * 1000, 2), "text", None]


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x92\x01", b"\x01\x01", b"\x91" * 100_000, b"\xa2\xff\xfe", msgpack.packb({1: 2})[:-1]]
)
def test_a_frame_that_is_no_value_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        list(FrameReader().feed(struct.pack("!I", len(payload)) + payload))


def test_a_frame_over_the_bound_is_malformed_before_it_is_there() -> None:
    assert FrameReader().feed(struct.pack("!I", MAX_FRAME_BYTES)) == []
    with pytest.raises(MalformedMessage, match="over the bound"):
        FrameReader().feed(struct.pack("!I", MAX_FRAME_BYTES + 1))
