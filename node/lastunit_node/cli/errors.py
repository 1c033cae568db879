"""Exit statuses of `lastunit`, and its own errors.

A program can act on the status alone: 3 is the one after which it must ask again under the same id.
"""

from enum import IntEnum
from pathlib import Path
from typing import Self


class ExitStatus(IntEnum):
    """What an exit status means."""

    ACCEPTED = 0  # done
    REFUSED = 1  # a definite no: out of stock, not found, already running
    USAGE = 2  # a wrong argument, a bad cluster.yml, a malformed request: nothing was tried
    INDEFINITE = 3  # no answer, and it may have been applied: repeat it under the same id
    FAILED = 4  # no answer, and it was certainly not applied; or a node did not start or stop
    BUG = 70  # something that nobody foresaw; a change may have been applied
    STOPPED = 130  # Ctrl-C, as everywhere, SIGTERM, or SIGHUP
    UNREAD = 141  # whoever read standard output went away, as of a program that SIGPIPE ended


class LocalClusterError(Exception):
    """The local cluster is not in a state for this; the message is one line that says what to do."""


class NodeFaultError(LocalClusterError):
    """A node ended, or did not come to serve in time. `log_tail` is the end of its log; the file, if it stays.

    node: which one, if it is one; advice: more sentences on what became of the others, and how to go on.
    """

    def __init__(
        self, problem: str, log_tail: str, log_file: Path | None = None, node: str = "", advice: str = ""
    ) -> None:
        place = f"; its log is {log_file}" if log_file else ""
        super().__init__(f"{problem}{place}{advice and '. '}{advice}")
        self.problem = problem
        self.log_tail = log_tail
        self.log_file = log_file
        self.node = node

    def advised(self, advice: str) -> Self:
        """The same, with advice."""
        return type(self)(self.problem, self.log_tail, self.log_file, self.node, advice)


class StoppedError(Exception):
    """Ctrl-C, SIGTERM or SIGHUP came; the message says what is left."""


class UnwrittenError(Exception):
    """The answer is there, and standard output does not take it."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(f"the answer could not be written: {getattr(problem, 'strerror', None) or problem}")
        self.is_unread = isinstance(problem, BrokenPipeError)


class UntoldError(Exception):
    """A change was asked for, and its answer was not told, for a reason that says nothing about the change."""

    def __init__(self, problem: BaseException, request_id: str) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.request_id = request_id
