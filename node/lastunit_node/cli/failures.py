"""What keeps a command from its answer, as a line on stderr, an exit status, and an object with --json."""

import contextlib
import re
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import typer

from lastunit_client import InvalidRequestError, LastUnitError, NotFoundError
from lastunit_node.cli import output
from lastunit_node.cli.errors import (
    ExitStatus,
    LocalClusterError,
    NodeFaultError,
    StoppedError,
    UntoldError,
    UnwrittenError,
)
from lastunit_node.config import ConfigError

REPEAT: Final = "it may have been applied: repeat it under the same id, {id}"
PYDANTIC: Final = re.compile(r"Input should be (.*?)(, unable to parse .*)?$")  # by which typer reads numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer. `reason` is for programs; `definite`: certainly nothing was changed."""

    reason: str
    message: str
    status: ExitStatus
    definite: bool = True
    request_id: str | None = None
    log_tail: str = ""


def report(failure: Failure, as_json: bool) -> ExitStatus:
    """Say it; the exit status."""
    if failure.message:  # empty where help was printed instead
        output.complain(failure.message)
    output.quote(failure.log_tail)
    if as_json:
        fields = {"error": failure.reason, "message": failure.message, "definite": failure.definite}
        with contextlib.suppress(UnwrittenError):
            output.print_json(fields if failure.request_id is None else {**fields, "id": failure.request_id})
    return failure.status


def failure_of(error: BaseException) -> Failure:
    """Judge what ended a command."""
    match error:
        case UntoldError():
            return _untold(error)
        case LastUnitError():
            return _call_failed(error)
        case typer.TyperException():
            return Failure(reason="USAGE", message=_usage(error), status=ExitStatus.USAGE)
        case ConfigError():
            return Failure(reason="CLUSTER_FILE", message=str(error), status=ExitStatus.USAGE)
        case NodeFaultError():
            return Failure(
                reason="NODE_FAULT",
                message=str(error),
                status=ExitStatus.FAILED,
                definite=False,
                log_tail=error.log_tail,
            )
        case LocalClusterError():
            return Failure(reason="LOCAL_CLUSTER", message=str(error), status=ExitStatus.REFUSED)
        case _:
            return _unforeseen(error)


def _unforeseen(error: BaseException) -> Failure:
    """Of what comes from outside at any moment, and of bugs."""
    match error:
        case KeyboardInterrupt() | StoppedError():
            message = str(error) or "stopped"
            return Failure(reason="STOPPED", message=message, status=ExitStatus.STOPPED, definite=False)
        case UnwrittenError(is_unread=True) | SystemExit():  # the latter is rich's, for help that nobody reads
            return Failure(reason="UNWRITTEN", message="", status=ExitStatus.UNREAD, definite=False)
        case UnwrittenError():
            return Failure(reason="UNWRITTEN", message=str(error), status=ExitStatus.INDEFINITE, definite=False)
        case _:
            return Failure(reason="BUG", message=_bug(error), status=ExitStatus.BUG, definite=False)


def _untold(error: UntoldError) -> Failure:
    """Of a change that may have been applied: whatever it was, the id is named."""
    if isinstance(error.problem, UnwrittenError):
        failure = Failure(reason="UNWRITTEN", message=str(error.problem), status=ExitStatus.INDEFINITE)
    else:
        failure = failure_of(error.problem)
    message = f"{failure.message}; {REPEAT.format(id=error.request_id)}"
    return replace(failure, message=message, definite=False, request_id=error.request_id)


def _call_failed(error: LastUnitError) -> Failure:
    """Of a call that the cluster did not answer. What became of a command, the error says itself."""
    message, status = str(error), ExitStatus.INDEFINITE
    if isinstance(error, InvalidRequestError):
        message, status = f"{error}; nothing was changed", ExitStatus.USAGE
    elif isinstance(error, NotFoundError):
        status = ExitStatus.REFUSED
    elif error.definite:
        message, status = f"{error}; see `lastunit status`, then try again", ExitStatus.FAILED
    elif error.request_id is None:
        message = f"{error}; it may happen all the same: see `lastunit status`"
    else:
        message = f"{error}; its id is {error.request_id}"
    reason = error.reason or "NO_ANSWER"
    return Failure(reason=reason, message=message, status=status, definite=error.definite, request_id=error.request_id)


def _usage(error: typer.TyperException) -> str:
    text = PYDANTIC.sub(r"it must be \1", error.format_message().rstrip(".")).replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    return f"{text}; see `{context.command_path if context else 'lastunit'} --help`" if text else ""


def _bug(error: BaseException) -> str:
    """What, and where: enough for a report."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{what} ({Path(frame.filename).name}:{frame.lineno}); this is a bug in lastunit, please report it"
