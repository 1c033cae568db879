"""The little of protobuf's wire format that commands and their answers are packed in, message after message.

By hand, because a command is written three times otherwise (filled, measured, copied into its message), and costs five
times as much. What is in an answer is left to protobuf. (protobuf.dev/programming-guides/encoding)
"""

from typing import Final

from lastunit.v1 import inventory_pb2

_VARINT: Final = 0  # wire types
_DELIMITED: Final = 2
_64_BITS: Final = (1 << 64) - 1
_SHORT: Final = [bytes([value]) for value in range(128)]  # values of one byte


def varint(value: int) -> bytes:
    """A number of 64 bits; below zero in two's complement, as int64 has it."""
    if 0 <= value < 128:
        return _SHORT[value]
    value &= _64_BITS
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number_tag(field: int) -> bytes:
    """What stands before a number."""
    return varint(field << 3 | _VARINT)


def content_tag(field: int) -> bytes:
    """What stands before text or a message, with its length."""
    return varint(field << 3 | _DELIMITED)


def content(tag: bytes, encoded: bytes) -> bytes:
    """A field of text or a message."""
    return tag + varint(len(encoded)) + encoded


_REQUEST_SEQUENCE: Final = number_tag(inventory_pb2.ExecuteRequest.SEQUENCE_FIELD_NUMBER)
_REQUEST_COMMANDS: Final = content_tag(inventory_pb2.ExecuteRequest.COMMANDS_FIELD_NUMBER)
_RESPONSE_SEQUENCE: Final = number_tag(inventory_pb2.ExecuteResponse.SEQUENCE_FIELD_NUMBER)[0]
_RESPONSE_RESULTS: Final = content_tag(inventory_pb2.ExecuteResponse.RESULTS_FIELD_NUMBER)[0]


def execute_request(sequence: int, commands: list[tuple[bytes, bytes]]) -> bytes:
    """An ExecuteRequest. Each command in two parts, which protobuf reads as one: what to do, and its timeout."""
    parts = [_REQUEST_SEQUENCE, varint(sequence)]
    for command, timeout in commands:
        parts += (_REQUEST_COMMANDS, varint(len(command) + len(timeout)), command, timeout)
    return b"".join(parts)


def execute_response(response: bytes) -> tuple[int, list[bytes]]:
    """The sequence of an ExecuteResponse and its results, still encoded. DecodeError when it is none."""
    sequence, at, results = 0, 0, list[bytes]()
    try:
        while at < len(response):
            tag = response[at]
            value, at = varint_at(response, at + 1)
            if tag == _RESPONSE_SEQUENCE:
                sequence = value
            elif tag == _RESPONSE_RESULTS:
                results.append(response[at : at + value])
                at += value
            else:
                return _read_by_protobuf(response)
    except IndexError:
        return _read_by_protobuf(response)
    return (sequence, results) if at == len(response) else _read_by_protobuf(response)


def varint_at(encoded: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    byte = encoded[at]
    value, shift = byte & 127, 7
    while byte > 127:
        at += 1
        byte = encoded[at]
        value |= (byte & 127) << shift
        shift += 7
    return value, at + 1


def _read_by_protobuf(response: bytes) -> tuple[int, list[bytes]]:
    """For a response with what this library does not know, or that is damaged."""
    message = inventory_pb2.ExecuteResponse.FromString(response)
    return message.sequence, [result.SerializeToString() for result in message.results]
