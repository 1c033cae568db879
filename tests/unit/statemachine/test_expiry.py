"""Holds end by the count of ticks: never early, at once when due, in bounded steps, and in order."""

import apsw
import pytest

from lastunit_node.statemachine.commands import Line, Reserve, Tick
from lastunit_node.statemachine.results import Outcome, ReservationState, StockLevel

from .shop import Shop, units


@pytest.fixture
def behind() -> Shop:
    """Three vases in holds that came due at once, of which a step expires only one: two are left."""
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=3, bowl=3)
    for name in ("r1", "r2", "r3"):
        shop.hold(name, hold_ticks=1, vase=1)
    shop.tick(2)
    return shop


def test_a_hold_lasts_its_full_ticks(shop: Shop) -> None:
    shop.hold("r1", hold_ticks=2, vase=1)
    shop.tick(2)
    assert shop.reservation("r1").state is ReservationState.HELD
    shop.tick()
    assert shop.reservation("r1").state is ReservationState.EXPIRED


def test_an_expired_hold_frees_its_units(shop: Shop) -> None:
    shop.hold("r1", vase=2, bowl=1)
    shop.tick(4)

    assert shop.available("vase") == 10
    assert shop.available("bowl") == 5
    assert shop.reservation("r1").units == ()


def test_an_expired_hold_can_be_neither_confirmed_nor_released(shop: Shop) -> None:
    token = shop.hold("r1", vase=1)
    shop.tick(4)

    for result in (shop.confirm("r1", token), shop.release("r1", token), shop.release("r1")):
        assert (result.outcome, result.reservation) == (Outcome.EXPIRED, shop.reservation("r1"))


def test_a_confirmed_reservation_never_expires(shop: Shop) -> None:
    shop.confirm("r1", shop.hold("r1", vase=1))
    shop.order("o1", vase=1)
    shop.tick(30)

    assert shop.level().sold == 2


def test_a_step_expires_no_more_holds_than_its_size(behind: Shop) -> None:
    assert (behind.level().available, behind.level().held) == (1, 2)


def test_a_step_ends_with_the_hold_that_reaches_its_ranges_whatever_its_size_allows() -> None:
    """Baskets of a hundred skus: a hundred of them would keep every node for as long as thousands of other holds."""
    shop = Shop(sweep_size=50)
    skus = {f"sku{number}": 20 for number in range(100)}
    shop.receive("delivery", **skus)
    for number in range(12):
        shop.hold(f"r{number}", hold_ticks=1, **dict.fromkeys(skus, 1))
    shop.do(Tick(0))
    clock = shop.machine.clock

    assert shop.do(Tick(clock)).outcome is Outcome.TICKED  # expires five: 500 ranges are enough for 50 holds
    assert (shop.level("sku7").held, shop.machine.left_due_holds) == (7, True)
    shop.barrier()
    assert (shop.level("sku7").held, shop.machine.left_due_holds) == (2, True)
    assert shop.do(Tick(clock + 1)).outcome is Outcome.TICKED
    assert (shop.level("sku7").held, shop.machine.left_due_holds) == (0, False)


def test_the_sweep_goes_by_expiry_and_then_by_token() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=3)
    shop.hold("first", hold_ticks=2, vase=1)
    shop.hold("second", hold_ticks=1, vase=1)
    shop.hold("third", hold_ticks=1, vase=1)

    shop.tick(2)

    states = shop.rows("SELECT reservation_id, state FROM reservations ORDER BY reservation_id")
    assert states == [("first", 1), ("second", 4), ("third", 1)]


def test_a_due_hold_is_expired_for_everyone_before_the_sweep_comes(behind: Shop) -> None:
    assert behind.rows("SELECT state FROM reservations WHERE reservation_id = 'r3'") == [(1,)]
    reservation = behind.reservation("r3")
    assert reservation.state is ReservationState.EXPIRED
    assert reservation.units == ()


@pytest.mark.parametrize("command", ["confirm", "release", "extend"])
def test_a_due_hold_cannot_be_changed_before_the_sweep_comes(behind: Shop, command: str) -> None:
    token = behind.reservation("r3").token
    assert token is not None
    results = {
        "confirm": lambda: behind.confirm("r3", token),
        "release": lambda: behind.release("r3", token),
        "extend": lambda: behind.extend("r3", token, 9),
    }

    result = results[command]()

    assert behind.rows("SELECT state FROM reservations WHERE reservation_id = 'r3'") == [(1,)]
    assert (result.outcome, result.reservation) == (Outcome.EXPIRED, behind.reservation("r3"))


def test_every_entry_sweeps_on_before_its_own_commands(behind: Shop) -> None:
    behind.barrier()
    assert behind.level().held == 1
    behind.apply_bytes(b"\x01")
    assert behind.level().held == 0


def test_bytes_that_are_no_entry_sweep_too(behind: Shop) -> None:
    behind.apply_bytes(b"nonsense")

    assert behind.level().held == 1


def test_the_clock_stands_still_while_the_sweep_is_behind(behind: Shop) -> None:
    clock = behind.machine.clock

    assert behind.do(Tick(clock)).outcome is Outcome.CLOCK_MISMATCH  # expires r2, and r3 is left
    assert behind.do(Tick(clock)).outcome is Outcome.TICKED  # expires r3
    assert behind.machine.clock == clock + 1


def test_an_order_that_falls_short_expires_the_due_holds_of_its_own_skus(behind: Shop) -> None:
    result = behind.order("o1", vase=3)  # one free, one swept by this entry, one by the order itself

    assert (result.outcome, result.units) == (Outcome.ORDER_PLACED, units("vase", (1, 3)))


def test_an_order_expires_no_more_holds_than_it_needs(behind: Shop) -> None:
    assert behind.order("o1", vase=2).outcome is Outcome.ORDER_PLACED
    assert behind.level().held == 1


def test_however_many_units_those_have() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=8)
    for name in ("r1", "r2", "r3", "r4"):
        shop.hold(name, hold_ticks=1, vase=2)
    shop.tick(2)

    assert shop.order("o1", vase=6).outcome is Outcome.ORDER_PLACED  # r1 and r2 went by steps, and r3 for this
    assert shop.level().held == 2


def test_an_order_of_many_units_finds_the_holds_it_needs_with_few_questions() -> None:
    """One by one, an order of 5,000 units that were all due kept every node for half a second."""
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=300, bowl=1)
    shop.apply(*[Reserve(f"h{number}", (Line("vase", 1),), 1) for number in range(299)])
    shop.hold("last", hold_ticks=1, vase=1, bowl=1)
    shop.tick(2)
    asked: list[str] = []
    shop.connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda question: asked.append(question["sql"]))

    result = shop.order("o1", vase=250)
    shop.connection.trace_v2(0)

    assert (result.outcome, result.units) == (Outcome.ORDER_PLACED, units("vase", (1, 250)))
    assert shop.level() == StockLevel("vase", 300, 0, 50, 250, 0)
    assert len([question for question in asked if question.startswith("SELECT") and "FROM holds" in question]) <= 5


def test_an_order_expires_the_holds_of_its_skus_by_token() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=3, bowl=2)
    shop.apply(*[Reserve(name, (Line("bowl", 1),), 1) for name in ("b1", "b2")])  # the steps of two entries
    shop.apply(*[Reserve(name, (Line("vase", 1),), 1) for name in ("v1", "v2")])
    shop.hold("v3", hold_ticks=1, vase=1)
    shop.tick(2)

    assert shop.order("o1", vase=2).outcome is Outcome.ORDER_PLACED

    assert shop.rows("SELECT reservation_id FROM reservations WHERE state = 1") == [("v3",)]


def test_that_nothing_was_due_is_believed_until_the_next_tick() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=3)
    for name in ("r1", "r2", "r3"):
        shop.hold(name, hold_ticks=1, vase=1)
    for clock in range(2):
        assert shop.order(f"early-{clock}", vase=1).outcome is Outcome.OUT_OF_STOCK
        shop.tick()

    assert shop.order("o1", vase=3).outcome is Outcome.ORDER_PLACED


def test_an_order_leaves_due_holds_of_other_skus_alone(behind: Shop) -> None:
    assert behind.order("o1", bowl=4).outcome is Outcome.OUT_OF_STOCK
    assert behind.level().held == 1  # the entry's own step


def test_an_adjustment_that_falls_short_expires_due_holds_first() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=3)
    for name in ("r1", "r2", "r3"):
        shop.hold(name, hold_ticks=1, vase=1)
    shop.tick(2)

    assert shop.remove("broken", "vase", 3).outcome is Outcome.ADJUSTED


def test_units_of_a_due_hold_can_be_removed_by_name(behind: Shop) -> None:
    assert behind.remove_units("broken", "vase", (3, 3)).outcome is Outcome.ADJUSTED


def test_a_hold_of_several_skus_is_expired_whole_for_one_of_them() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=1, bowl=1, plate=2)
    for name in ("r1", "r2"):
        shop.hold(name, hold_ticks=1, plate=1)
    shop.hold("r3", hold_ticks=1, vase=1, bowl=1)
    shop.tick(2)

    assert shop.order("o1", vase=1).outcome is Outcome.ORDER_PLACED
    assert shop.available("bowl") == 1


def test_holds_made_in_one_entry_expire_by_their_position() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=2)
    shop.apply(Reserve("b", (Line("vase", 1),), 1), Reserve("a", (Line("vase", 1),), 1))

    shop.tick(2)

    assert shop.rows("SELECT reservation_id FROM reservations WHERE state = 4") == [("b",)]
