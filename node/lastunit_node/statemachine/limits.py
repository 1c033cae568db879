"""The limits of every message and command, named once. The front end and the state machine both hold them."""

import re
from typing import Final

MAX_ID: Final = 64  # characters
_ID_PATTERN: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_ID}}}")  # ids and skus; is_id is faster
ID_RULE: Final = f"must be 1 to {MAX_ID} characters of A-Z a-z 0-9 . _ : -"  # the same in words
MAX_LINES: Final = 100
MAX_QUANTITY: Final = 1_000_000  # units, per line
MAX_REASON_BYTES: Final = 256  # UTF-8
MAX_RANGES: Final = 1_000  # named unit ranges in one command
MAX_COMMANDS: Final = 4_096  # per message and per entry
MAX_MESSAGE_BYTES: Final = 1 << 20  # a request, and the commands of an entry
MAX_ENTRY_BYTES: Final = 2 * MAX_MESSAGE_BYTES  # a message that is allowed fits, whatever its encoding in the log
MAX_SWEEP_SIZE: Final = 10_000  # holds expired per step
MAX_UNIT: Final = 1 << 62  # any unit number on the wire
MAX_TICK: Final = 1 << 62  # any tick, index or term on the wire

_IN_IDS: Final = bytes([_ID_PATTERN.fullmatch(chr(byte)) is not None for byte in range(256)])


def is_id(value: str) -> bool:
    """Whether this may be an id or a sku. Most are letters and digits, which takes a quarter of the pattern's time."""
    return (value.isalnum() and value.isascii() and len(value) <= MAX_ID) or _ID_PATTERN.fullmatch(value) is not None


def are_id_bytes(data: bytes, start: int, end: int) -> bool:
    """Whether all of these bytes may be in an id or a sku. Raises IndexError where there are fewer."""
    for place in range(start, end):  # noqa: SIM110  # compiled, a generator costs far more than a loop
        if not _IN_IDS[data[place]]:
            return False
    return True
