"""What one message may hold (the nodes refuse more), and what this library lets wait. Named once."""

from typing import Final

MAX_COMMANDS: Final = 4_096  # per Execute message
MAX_MESSAGE_BYTES: Final = 1 << 20  # per Execute message
COMMAND_OVERHEAD_BYTES: Final = 32  # at most: tag, length and timeout around an encoded command
MAX_COMMAND_BYTES: Final = MAX_MESSAGE_BYTES - 2 * COMMAND_OVERHEAD_BYTES  # so that one alone fits with its sequence
MAX_IN_FLIGHT: Final = 2  # Execute messages sent and not answered, per node; more gains nothing
MAX_WAITING: Final = 65_536  # commands not yet sent, per node
PORTION: Final = 256  # answers handed out at once: with fewer, messages and log entries are smaller, and more of them
DEFAULT_PAGE_ROWS: Final = 100
MAX_PAGE_ROWS: Final = 1_000  # whatever is asked for
MAX_SECONDS: Final = 1e9  # of a timeout, 30 years: gRPC counts nanoseconds since 1970, in 63 bits
