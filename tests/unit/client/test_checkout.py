"""checkout(), one test per row of its table; and through both clients."""

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from lastunit.v1 import inventory_pb2
from lastunit_client import (
    AsyncInventoryClient,
    CheckoutOutcome,
    CommandResult,
    FencingToken,
    Outcome,
    PaidButExpired,
    PaidButUnconfirmed,
    ProtocolError,
    Reservation,
    ReservationState,
    UnavailableError,
)
from lastunit_client.checkout import run_checkout

from .fake_node import FakeNode

TOKEN = FencingToken(2, 57, 0)
NO_ANSWER = UnavailableError("nobody there", definite=False)


def answer(outcome: Outcome, *, token: FencingToken | None = None) -> CommandResult:
    return CommandResult("r1", outcome, False, 5, 5, token, 0, (), (), None)


def replayed_reserve(state: ReservationState | None) -> CommandResult:
    reservation = None if state is None else Reservation("r1", state, TOKEN, 1, 9, (), (), 5)
    return replace(answer(Outcome.RESERVED, token=TOKEN), replayed=True, reservation=reservation)


@dataclass
class Steps:
    """The three commands, scripted; `taken` says what was called, with the token."""

    reserved: CommandResult | Exception = field(default_factory=lambda: answer(Outcome.RESERVED, token=TOKEN))
    confirmed: CommandResult | Exception = field(default_factory=lambda: answer(Outcome.CONFIRMED))
    released: CommandResult | Exception = field(default_factory=lambda: answer(Outcome.RELEASED))
    taken: list[object] = field(default_factory=list)

    async def reserve(self) -> CommandResult:
        return self._step("reserve", self.reserved)

    async def confirm(self, reservation_id: str, token: FencingToken) -> CommandResult:
        return self._step(("confirm", reservation_id, token), self.confirmed)

    async def release(self, reservation_id: str, token: FencingToken) -> CommandResult:
        return self._step(("release", reservation_id, token), self.released)

    def pay(self, reserved: CommandResult) -> str:
        self.taken.append("pay")
        return "receipt 7"

    def _step(self, name: object, result: CommandResult | Exception) -> CommandResult:
        self.taken.append(name)
        if isinstance(result, Exception):
            raise result
        return result


CONFIRM = ("confirm", "r1", TOKEN)
RELEASE = ("release", "r1", TOKEN)


async def test_a_purchase_is_reserved_paid_and_confirmed_with_its_token() -> None:
    steps = Steps()
    bought = await run_checkout(steps, steps.pay)
    assert (bought.outcome, bought.placed, bought.payment) == (CheckoutOutcome.PLACED, True, "receipt 7")
    assert bought.reservation_id == "r1"
    assert steps.taken == ["reserve", "pay", CONFIRM]


async def test_a_coroutine_may_pay() -> None:
    async def pay(reserved: CommandResult) -> str:
        await asyncio.sleep(0)
        return reserved.request_id

    assert (await run_checkout(Steps(), pay)).payment == "r1"


async def test_a_refused_reserve_is_not_paid() -> None:
    steps = Steps(reserved=answer(Outcome.OUT_OF_STOCK))
    bought = await run_checkout(steps, steps.pay)
    assert (bought.outcome, bought.reserved.outcome) == (CheckoutOutcome.REFUSED, Outcome.OUT_OF_STOCK)
    assert steps.taken == ["reserve"]


async def test_a_reserve_without_an_answer_is_not_paid() -> None:
    steps = Steps(reserved=NO_ANSWER)
    with pytest.raises(UnavailableError):
        await run_checkout(steps, steps.pay)
    assert steps.taken == ["reserve"]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (ReservationState.CONFIRMED, CheckoutOutcome.PLACED),
        (ReservationState.EXPIRED, CheckoutOutcome.OVER),
        (ReservationState.RELEASED, CheckoutOutcome.OVER),
    ],
)
async def test_what_an_earlier_run_finished_is_not_paid_again(
    state: ReservationState, outcome: CheckoutOutcome
) -> None:
    steps = Steps(reserved=replayed_reserve(state))
    assert (await run_checkout(steps, steps.pay)).outcome is outcome
    assert steps.taken == ["reserve"]


async def test_what_an_earlier_run_left_held_is_paid() -> None:
    steps = Steps(reserved=replayed_reserve(ReservationState.HELD))
    assert (await run_checkout(steps, steps.pay)).placed
    assert steps.taken == ["reserve", "pay", CONFIRM]


@pytest.mark.parametrize("reserved", [replayed_reserve(None), answer(Outcome.RESERVED)])
async def test_a_hold_of_which_state_or_token_is_unknown_is_not_paid(reserved: CommandResult) -> None:
    steps = Steps(reserved=reserved)
    with pytest.raises(ProtocolError):
        await run_checkout(steps, steps.pay)
    assert steps.taken == ["reserve"]


@pytest.mark.parametrize("released", [answer(Outcome.RELEASED), answer(Outcome.EXPIRED), NO_ANSWER])
async def test_a_payment_that_failed_releases_the_hold(released: CommandResult | Exception) -> None:
    steps = Steps(released=released)
    bought = await run_checkout(steps, lambda _: False)
    assert (bought.outcome, bought.placed) == (CheckoutOutcome.PAYMENT_FAILED, False)
    assert bought.released == (None if released is NO_ANSWER else released)
    assert steps.taken == ["reserve", RELEASE]


@pytest.mark.parametrize("released", [answer(Outcome.RELEASED), NO_ANSWER])
async def test_a_payment_that_raises_releases_the_hold_and_raises(released: CommandResult | Exception) -> None:
    def pay(reserved: CommandResult) -> None:
        raise ConnectionError("card reader gone")

    steps = Steps(released=released)
    with pytest.raises(ConnectionError, match="card reader gone"):
        await run_checkout(steps, pay)
    assert steps.taken == ["reserve", RELEASE]


async def generated(reserved: CommandResult) -> AsyncIterator[str]:
    yield "receipt 7"


@pytest.mark.parametrize(
    "pay", [lambda _: (receipt for receipt in ["receipt 7"]), generated, lambda _: concurrent.futures.Future[str]()]
)
async def test_what_has_yet_to_be_run_is_no_payment(pay: Callable[[CommandResult], object]) -> None:
    steps = Steps()
    with pytest.raises(TypeError, match="before anybody has paid"):
        await run_checkout(steps, pay)
    assert steps.taken == ["reserve", RELEASE]


async def test_a_payment_that_is_cancelled_leaves_the_hold_to_its_clock() -> None:
    async def pay(reserved: CommandResult) -> None:
        raise asyncio.CancelledError

    steps = Steps()
    with pytest.raises(asyncio.CancelledError):
        await run_checkout(steps, pay)
    assert steps.taken == ["reserve"]


@pytest.mark.parametrize("outcome", [Outcome.EXPIRED, Outcome.STALE_TOKEN, Outcome.ALREADY_RELEASED, Outcome.TOO_LATE])
async def test_paid_but_expired_carries_what_a_refund_needs(outcome: Outcome) -> None:
    steps = Steps(confirmed=answer(outcome))
    with pytest.raises(PaidButExpired, match=f"r1.*{outcome.name}.*refund") as caught:
        await run_checkout(steps, steps.pay)
    error = caught.value
    assert (error.reservation_id, error.token, error.payment) == ("r1", TOKEN, "receipt 7")
    assert (error.result.outcome, error.definite) == (outcome, True)
    assert steps.taken[-1] == CONFIRM


@pytest.mark.parametrize("definite", [True, False])
async def test_paid_and_no_answer_to_the_confirm_says_how_to_find_out(definite: bool) -> None:
    steps = Steps(confirmed=UnavailableError("nobody there", definite=definite))
    with pytest.raises(PaidButUnconfirmed, match="get_reservation") as caught:
        await run_checkout(steps, steps.pay)
    error = caught.value
    assert (error.reservation_id, error.token, error.payment) == ("r1", TOKEN, "receipt 7")
    assert error.definite is definite
    assert isinstance(error.__cause__, UnavailableError)
    assert steps.taken[-1] == CONFIRM  # not released: the units may be sold


async def test_checkout_through_a_client(client: AsyncInventoryClient, nodes: list[FakeNode]) -> None:
    paid: list[CommandResult] = []
    bought = await client.checkout({"VASE": 2}, paid.append, reservation_id="r1", hold_ticks=50)
    assert bought.placed
    assert paid[0].request_id == "r1"
    reserve, confirm = (message.commands[0] for message in nodes[0].messages)
    assert reserve.reserve.hold_ticks == 50
    assert confirm.confirm.token == inventory_token(paid[0].token)


async def test_a_checkout_through_a_client_whose_payment_fails_is_released(
    client: AsyncInventoryClient, nodes: list[FakeNode]
) -> None:
    checkout = await client.checkout({"VASE": 2}, lambda _reserved: False, reservation_id="r1")
    assert checkout.outcome is CheckoutOutcome.PAYMENT_FAILED
    release = nodes[0].messages[-1].commands[0].release
    assert (release.reservation_id, release.token) == ("r1", inventory_token(checkout.reserved.token))


async def test_a_coroutine_may_pay_through_a_client(client: AsyncInventoryClient) -> None:
    async def pay(reserved: CommandResult) -> str:
        await asyncio.sleep(0)
        return f"receipt of {reserved.request_id}"

    bought = await client.checkout({"VASE": 1}, pay, reservation_id="r1")
    payment: str | None = bought.payment
    assert (bought.placed, payment) == (True, "receipt of r1")


def inventory_token(token: FencingToken | None) -> object:
    assert token is not None
    return inventory_pb2.FencingToken(term=token.term, index=token.index, position=token.position)
