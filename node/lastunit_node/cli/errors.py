"""Exit statuses of `lastunit`, and the error of the local cluster.

A program can act on the status alone: 3 is the one after which it must ask again under the same id.
"""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What an exit status means. 130 is Ctrl-C, as everywhere."""

    ACCEPTED = 0  # done
    REFUSED = 1  # a definite no: out of stock, not found, already running
    USAGE = 2  # a wrong argument, a bad cluster.yml, a malformed request: nothing was tried
    INDEFINITE = 3  # no answer, and it may have been applied: repeat it under the same id
    FAILED = 4  # no answer, and it was certainly not applied; or a node did not start or stop


class LocalClusterError(Exception):
    """The local cluster is not in a state for this; the message is one line that says what to do."""


class NodeFaultError(LocalClusterError):
    """A node ended, or did not come to serve in time. `log_tail` is the end of its log."""

    def __init__(self, message: str, log_tail: str) -> None:
        super().__init__(message)
        self.log_tail = log_tail
