"""checkout(): reserve, pay, then confirm or release, with every way it can fail thought through.

| what fails, and where                | what checkout() does                    | what stands afterwards              |
|--------------------------------------|-----------------------------------------|-------------------------------------|
| reserve is refused (OUT_OF_STOCK...) | returns REFUSED, does not pay           | nothing                             |
| reserve is refused ID_REUSED: this   | returns REFUSED, does not pay           | what an earlier run left, see       |
| is not what an earlier run asked for |                                         | reserved.reservation; it may be paid|
| reserve gets no answer               | raises its error, does not pay          | perhaps a hold, which expires; to   |
|                                      |                                         | end it at once see release()        |
| an earlier run has confirmed this id | returns PLACED, replayed; does not pay  | sold, once                          |
| an earlier run's hold is over        | returns OVER, does not pay              | not sold; if that run paid, refund  |
| an earlier run died in between       | pays again: pay() must be idempotent,   | as below                            |
|                                      | by reservation_id                       |                                     |
| pay() returns False                  | releases, returns PAYMENT_FAILED        | nothing; without an answer to the   |
|                                      |                                         | release: a hold until it expires    |
| pay() raises                         | releases, lets the exception through    | the same; raise only if nothing was |
|                                      |                                         | paid                                |
| cancelled, Ctrl-C, killed in pay()   | sends nothing more                      | a hold until it expires: confirm or |
| or later                             |                                         | release it; or sold: ask            |
| confirm is accepted, or replayed     | returns PLACED                          | sold                                |
| confirm is refused (EXPIRED, ...)    | raises PaidButExpired                   | paid, not sold: refund              |
| confirm gets no answer               | retries until its deadline, then raises | paid; whether it is sold is to be   |
|                                      | PaidButUnconfirmed                      | asked: get_reservation(id)          |

A hold lasts hold_ticks; a payment that takes longer ends in PaidButExpired. There is no timer in here: the state
machine decides, by the token.
"""

import concurrent.futures
import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, Protocol, TypeVar, overload

from lastunit_client.errors import LastUnitError, PaidButExpired, PaidButUnconfirmed, ProtocolError
from lastunit_client.fencing import FencingToken
from lastunit_client.models import CommandResult, ReservationState

PaymentT = TypeVar("PaymentT")

_NOT_YET_PAID: Final = (Generator, AsyncGenerator, concurrent.futures.Future)  # no code of a generator has run


class CheckoutOutcome(Enum):
    """How a checkout ended, when it ended with an answer."""

    PLACED = auto()  # paid and sold
    REFUSED = auto()  # the reserve was refused; not paid
    PAYMENT_FAILED = auto()  # pay returned False; the units are released
    OVER = auto()  # the hold of an earlier run with this id is over; pay was not called


@dataclass(frozen=True, slots=True)
class Checkout(Generic[PaymentT]):
    """What a checkout came to: the answer to each of its steps, None for a step that was not taken."""

    outcome: CheckoutOutcome
    reserved: CommandResult
    payment: PaymentT | None = None  # what pay() returned
    confirmed: CommandResult | None = None
    released: CommandResult | None = None  # None also when the release got no answer: then the hold expires by itself

    @property
    def placed(self) -> bool:
        """Whether the units are sold to this reservation."""
        return self.outcome is CheckoutOutcome.PLACED

    @property
    def reservation_id(self) -> str:
        """The id, as given or as made."""
        return self.reserved.request_id


class Steps(Protocol):
    """The three commands a checkout is made of."""

    async def reserve(self) -> CommandResult:
        """Hold the units."""
        ...

    async def confirm(self, reservation_id: str, token: FencingToken) -> CommandResult:
        """Sell what is held."""
        ...

    async def release(self, reservation_id: str, token: FencingToken) -> CommandResult:
        """Free what is held."""
        ...


@overload
async def run_checkout(steps: Steps, pay: Callable[[CommandResult], Awaitable[PaymentT]]) -> Checkout[PaymentT]: ...


@overload
async def run_checkout(
    steps: Steps, pay: Callable[[CommandResult], PaymentT | Awaitable[PaymentT]]
) -> Checkout[PaymentT]: ...


async def run_checkout(
    steps: Steps, pay: Callable[[CommandResult], PaymentT | Awaitable[PaymentT]]
) -> Checkout[PaymentT]:
    """Take the steps in order; see the module's table. The one algorithm behind both clients' checkout()."""
    reserved = await steps.reserve()
    if not reserved.accepted:
        return Checkout(CheckoutOutcome.REFUSED, reserved)
    token = _token(reserved)
    state = _state(reserved)
    if state is ReservationState.CONFIRMED:
        return Checkout(CheckoutOutcome.PLACED, reserved)
    if state is not ReservationState.HELD:
        return Checkout(CheckoutOutcome.OVER, reserved)
    try:
        payment = await _paid(pay, reserved)
    except Exception:
        await _release(steps, reserved, token)
        raise
    if payment is False:
        released = await _release(steps, reserved, token)
        return Checkout(CheckoutOutcome.PAYMENT_FAILED, reserved, payment, released=released)
    confirmed = await _confirm(steps, reserved, token, payment)
    return Checkout(CheckoutOutcome.PLACED, reserved, payment, confirmed=confirmed)


def _token(reserved: CommandResult) -> FencingToken:
    if reserved.token is None:
        raise ProtocolError("RESERVED came without its token", definite=False, request_id=reserved.request_id)
    return reserved.token


def _state(reserved: CommandResult) -> ReservationState:
    """Of the reservation, now. A first answer has none beside it: its hold stands."""
    if reserved.reservation is not None:
        return reserved.reservation.state
    if reserved.replayed:
        raise ProtocolError("a replay came without its reservation", definite=False, request_id=reserved.request_id)
    return ReservationState.HELD


async def _paid(pay: Callable[[CommandResult], PaymentT | Awaitable[PaymentT]], reserved: CommandResult) -> PaymentT:
    payment = pay(reserved)
    if inspect.isawaitable(payment):
        return await payment
    if isinstance(payment, _NOT_YET_PAID):
        raise TypeError(f"pay() returned a {type(payment).__name__}: it ends before anybody has paid")
    return payment


async def _release(steps: Steps, reserved: CommandResult, token: FencingToken) -> CommandResult | None:
    """Free the units; without an answer the hold expires by itself, so that is no reason to fail."""
    with contextlib.suppress(LastUnitError):
        return await steps.release(reserved.request_id, token)
    return None


async def _confirm(steps: Steps, reserved: CommandResult, token: FencingToken, payment: object) -> CommandResult:
    """Sell the units, or raise what the caller needs to put the payment right."""
    try:
        confirmed = await steps.confirm(reserved.request_id, token)
    except LastUnitError as error:
        raise PaidButUnconfirmed(reserved, payment, definite=error.definite) from error
    if not confirmed.accepted:
        raise PaidButExpired(reserved, payment, confirmed)
    return confirmed
