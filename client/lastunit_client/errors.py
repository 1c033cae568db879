"""What a call raises when it has no answer to give. A refusal (out of stock, stale token, ...) is an answer.

Every error says in `definite` whether a command may have been applied all the same:
definite - certainly not applied, by any attempt of this call; indefinite - may have been applied, now or in a moment.
After an indefinite error call again with the same id (`request_id`): the answer is the first one, applied once.
Do not do so for longer than half the cluster's retention (half a day by default), the wait for an answer included:
after the whole the id may be forgotten, and what comes late would be taken for new.
"""

from collections.abc import Callable
from typing import Any

from lastunit_client.fencing import FencingToken
from lastunit_client.models import CommandResult


class LastUnitError(Exception):
    """Base of all errors of this library. `definite` says whether the command certainly was not applied."""

    def __init__(self, message: str, *, definite: bool = True, request_id: str | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.definite = definite
        self.request_id = request_id  # the id to call again with; None for queries
        self.reason = reason  # UPPER_SNAKE, of google.rpc.ErrorInfo; empty when no node gave one

    def __reduce__(self) -> tuple[Callable[..., "LastUnitError"], tuple[Any, ...], dict[str, Any]]:
        """For pickle and copy. Python's own would call __init__ with the message alone."""
        return _bare, (type(self), self.args), self.__dict__


def _bare(kind: type[LastUnitError], arguments: tuple[Any, ...]) -> LastUnitError:
    """Without the attributes, which follow."""
    return kind.__new__(kind, *arguments)


class InvalidRequestError(LastUnitError):
    """The request is malformed; `field` names where, e.g. "lines[3].quantity". Never applied; do not retry."""

    def __init__(self, field: str, problem: str, *, request_id: str | None = None) -> None:
        super().__init__(f"{field}: {problem}" if field else problem, request_id=request_id, reason="INVALID_ARGUMENT")
        self.field = field
        self.problem = problem


class NotFoundError(LastUnitError):
    """A query named a sku or reservation that the cluster does not know. Nothing was changed."""


class UnavailableError(LastUnitError):
    """No node could take the call before its deadline: none reachable, no quorum, or every queue full, also in here.

    The command may have been applied unless `definite`.
    """


class DeadlineError(LastUnitError):
    """A node took the call and did not answer before the deadline; or that had passed before the call.

    The command may have been applied unless `definite`.
    """


class NotPossibleError(LastUnitError):
    """The node cannot do this now, and says why (FAILED_PRECONDITION, OUT_OF_RANGE). Never raised by commands."""


class ProtocolError(LastUnitError):
    """A node answered with something this library has no meaning for: a bug, or a version too far apart.

    The command may have been applied unless `definite`.
    """


class ClientClosedError(LastUnitError):
    """The client was closed, before the call or during it, or a fork() has made it unusable.

    The command may have been applied unless `definite`.
    """


class CheckoutError(LastUnitError):
    """checkout() took the payment and could not sell the units. Carries what is needed to put that right."""

    def __init__(self, message: str, reserved: CommandResult, payment: object, *, definite: bool) -> None:
        super().__init__(message, definite=definite, request_id=reserved.request_id)
        self.reservation_id = reserved.request_id
        self.token: FencingToken | None = reserved.token
        self.payment = payment  # what pay() returned


class PaidButExpired(CheckoutError):
    """The payment succeeded, but the confirm was refused, mostly because the hold was over: refund.

    Definite: this checkout sold nothing. `result` is the refusal. Only for ALREADY_CONFIRMED somebody else confirmed
    with this token: look at `result.reservation.units` before you refund.
    """

    def __init__(self, reserved: CommandResult, payment: object, result: CommandResult) -> None:
        message = (
            f"reservation {reserved.request_id} is paid but not sold: the confirm was refused {result.outcome.name}; "
            "refund the payment"
        )
        super().__init__(message, reserved, payment, definite=True)
        self.result = result


class PaidButUnconfirmed(CheckoutError):
    """The payment succeeded, but the confirm got no answer before its deadline: sold or not is unknown.

    `definite` True: certainly not sold by this call; the hold runs on. Either way call confirm(reservation_id, token)
    again, or get_reservation(reservation_id): CONFIRMED is sold; EXPIRED or RELEASED is not: refund.
    """

    def __init__(self, reserved: CommandResult, payment: object, *, definite: bool) -> None:
        message = (
            f"reservation {reserved.request_id} is paid, and whether it is sold is "
            f"{'not decided yet' if definite else 'unknown'}: confirm it again with its token, or look at "
            f"get_reservation({reserved.request_id!r}), before you refund"
        )
        super().__init__(message, reserved, payment, definite=definite)
