"""A broken promise stops the machine, with the index in the message, and nothing of that entry is committed."""

import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine.codec import NO_OP, encode_entry
from lastunit_node.statemachine.commands import AdjustStock, Command, Entry, FencingToken, PlaceOrder, Release, Tick
from lastunit_node.statemachine.machine import InvariantError, StateMachine

from .shop import FOREVER, TERM, Shop, lines

ORDER = PlaceOrder("o1", lines({"vase": 5}))
REMOVE = AdjustStock("a1", "vase", 1, (), "")
RELEASE = Release("r1", FencingToken(TERM, 3, 0))
ALL = ORDER._replace(lines=lines({"vase": 10}))
DUE = "UPDATE holds SET expires_at_tick = 0;"
UNCHECKED = "PRAGMA ignore_check_constraints = ON;"
BEYOND = "INSERT INTO available_units VALUES ('vase', 20, 20);"
HELD_AT_END = "UPDATE reservations SET units = '[[\"vase\",[[10,11]]]]' WHERE reservation_id = 'r1'"
HELD_BEYOND = "UPDATE reservations SET units = '[[\"vase\",[[20,21]]]]' WHERE reservation_id = 'r1'"


@pytest.mark.parametrize(
    ("damage", "command", "says"),
    [
        ("UPDATE stock SET last = 4 WHERE sku = 'vase'", ORDER, "has available units, but no ranges"),
        ("UPDATE stock SET last = 7 WHERE sku = 'vase'", ORDER, "has available units, but no ranges"),
        (BEYOND, ORDER._replace(lines=lines({"vase": 8})), "but ranges"),
        ("UPDATE stock SET first = 1, last = 8 WHERE sku = 'vase'", RELEASE, "units 1-2 of vase are already available"),
        (HELD_AT_END, RELEASE, "units 10-11 of vase are already available"),
        (BEYOND + HELD_BEYOND, RELEASE, "units 20-21 of vase are already available"),
        ("UPDATE stock SET held = 0, sold = 2 WHERE sku = 'vase'", RELEASE, "2 units of vase leave HELD, which has 0"),
        (UNCHECKED + "UPDATE stock SET received = 11 WHERE sku = 'vase'", ORDER, "units of vase are not conserved"),
        ("DELETE FROM stock WHERE sku = 'vase'", RELEASE, "vase has units but no stock level"),
        ("DELETE FROM holds", RELEASE, "a row of holds is gone"),
        (DUE, ALL, "says that r1 is due, which it is not"),
        (DUE + "UPDATE reservations SET expires_at_tick = 0, state = 2", ALL, "says that r1 is due, which it is not"),
        ("UPDATE holds SET expires_at_tick = 0, reservation_id = 'r2'", ALL, "says that r2 is due, which it is not"),
        ("DELETE FROM clock", Tick(0), "a row of clock is gone"),
        ("INSERT INTO removed_units VALUES ('vase', 3, 3, 'x')", REMOVE, "UNIQUE constraint failed"),
    ],
)
def test_damage_stops_the_machine_and_names_the_index(shop: Shop, damage: str, command: Command, says: str) -> None:
    shop.hold("r1", vase=2)
    shop.machine.commit()
    shop.connection.execute(damage)
    machine = StateMachine(shop.connection)

    with pytest.raises(InvariantError, match=f"^at index 4: .*{says}"):
        _apply_and_commit(machine, command)


def _apply_and_commit(machine: StateMachine, command: Command) -> None:
    """Some damage is seen by what reads the rows, some by what writes them back."""
    machine.apply(4, TERM, encode_entry(Entry(1, FOREVER, (command,))))
    machine.commit()


def test_an_id_that_cannot_be_answered_again_stops_the_machine(shop: Shop) -> None:
    shop.order("o1", vase=99)
    shop.machine.commit()
    shop.connection.execute("UPDATE reservations SET answer = NULL")
    shop.machine = StateMachine(shop.connection)
    with pytest.raises(InvariantError, match="reservation o1 has neither a token nor an answer"):
        shop.order("o1", vase=99)


def test_two_due_holds_of_the_same_units_stop_the_machine(shop: Shop) -> None:
    shop.hold("r1", vase=2)
    shop.hold("r2", vase=2)
    shop.machine.commit()
    shop.connection.execute("UPDATE reservations SET units = '[[\"vase\",[[1,2]]]]'")
    machine = StateMachine(shop.connection)
    ticks = tuple(Tick(clock) for clock in range(10))

    with pytest.raises(InvariantError, match="two due holds have the same units of vase"):
        machine.apply(5, TERM, encode_entry(Entry(1, FOREVER, ticks)))


def test_an_index_that_is_not_the_next_stops_the_machine(shop: Shop) -> None:
    with pytest.raises(InvariantError, match=r"index 9 was to be applied after index 2"):
        shop.machine.apply(9, 1, b"\x01")


def test_a_failed_entry_is_never_committed(shop: Shop) -> None:
    shop.machine.commit()
    shop.connection.execute(BEYOND)
    with pytest.raises(InvariantError):
        shop.order("o1", vase=10)

    with pytest.raises(InvariantError, match="after index 2 stopped"):
        shop.machine.commit()
    with pytest.raises(InvariantError, match="after index 2 stopped"):
        shop.barrier()
    assert shop.rows("SELECT applied_index FROM state") == [(2,)]


def test_an_io_error_escapes_as_it_is(shop: Shop) -> None:
    shop.machine.commit()
    shop.connection.execute("PRAGMA query_only = ON")

    with pytest.raises(sqlite.Error):
        shop.order("o1", vase=1)


@pytest.mark.parametrize("reason", ["damage", "disk"])
def test_after_a_failure_nothing_goes_on(shop: Shop, reason: str) -> None:
    machine = shop.machine
    machine.commit()
    shop.connection.execute(BEYOND if reason == "damage" else "PRAGMA query_only = ON")
    with pytest.raises((InvariantError, sqlite.Error)):
        shop.order("o1", vase=10)
    shop.connection.execute("PRAGMA query_only = OFF")

    for call in (lambda: machine.apply(4, TERM, NO_OP), machine.commit, machine.write_back, machine.checkpoint):
        with pytest.raises(InvariantError, match="stopped this state machine"):
            call()
