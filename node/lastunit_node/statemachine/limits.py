"""The limits of every message and command, named once. The front end and the state machine both hold them."""

import re
from typing import Final

ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # ids and skus; use fullmatch
MAX_LINES: Final = 100
MAX_QUANTITY: Final = 1_000_000  # units, per line
MAX_REASON_BYTES: Final = 256  # UTF-8
MAX_RANGES: Final = 1_000  # named unit ranges in one command
MAX_COMMANDS: Final = 4_096  # per message and per entry
MAX_MESSAGE_BYTES: Final = 1 << 20  # a request, and the commands of an entry
MAX_ENTRY_BYTES: Final = 2 * MAX_MESSAGE_BYTES  # a message that is allowed fits, whatever its encoding in the log
MAX_SWEEP_SIZE: Final = 100_000  # holds expired per step
MAX_UNIT: Final = 1 << 62  # any unit number on the wire
MAX_TICK: Final = 1 << 62  # any tick, index or term on the wire
