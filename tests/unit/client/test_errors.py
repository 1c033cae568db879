"""Errors travel: to other processes, which pickle them, and into copies."""

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import lastunit_client
from lastunit_client import CommandResult, FencingToken, LastUnitError, Outcome

REFUSED = CommandResult("r1", Outcome.EXPIRED, False, 5, 6, FencingToken(2, 57, 0), 0, (), (), None)
ARGUMENTS: dict[str, Any] = {
    "message": "no",
    "definite": False,
    "request_id": "r1",
    "reason": "TESTED",
    "field": "lines[3].quantity",
    "problem": "must be positive",
    "reserved": REFUSED,
    "payment": ["receipt 7"],
    "result": REFUSED,
}

KINDS = [
    kind
    for kind in (getattr(lastunit_client, name) for name in lastunit_client.__all__)
    if inspect.isclass(kind) and issubclass(kind, BaseException)
]


def pickled(protocol: int) -> Callable[[LastUnitError], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


@pytest.mark.parametrize("travel", [*map(pickled, range(pickle.HIGHEST_PROTOCOL + 1)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", KINDS)
def test_every_error_arrives_whole(kind: type[LastUnitError], travel: Callable[[LastUnitError], Any]) -> None:
    """With all that it was made of; a new one may need a word in ARGUMENTS."""
    error = kind(**{name: ARGUMENTS[name] for name in inspect.signature(kind).parameters})
    error.add_note("seen on Monday")
    arrived = travel(error)
    assert type(arrived) is kind
    assert arrived is not error
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


def test_errors_are_found() -> None:
    assert {"InvalidRequestError", "PaidButExpired", "CheckoutError"} < {kind.__name__ for kind in KINDS}
