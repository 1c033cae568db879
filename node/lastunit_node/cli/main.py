"""The `lastunit` program: what signals do to it; the commands are in program.

Importing those takes a third of a second, in which Ctrl-C may come: so this module imports next to nothing itself.
"""

import signal
import sys
from types import FrameType

from lastunit_node.cli.errors import ExitStatus


def hang_up(number: int, frame: FrameType | None) -> None:
    """End as after Ctrl-C. The terminal and the shell may both say that the terminal was closed: once is enough."""
    signal.signal(number, signal.SIG_IGN)
    signal.default_int_handler(number, frame)


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what Ctrl-C cleans up or says, SIGTERM does too
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, hang_up)
    try:
        from lastunit_node.cli.program import run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(ExitStatus.STOPPED)
    sys.exit(run())


if __name__ == "__main__":
    main()
