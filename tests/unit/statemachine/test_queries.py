"""Reads: one snapshot at one applied index, in pages, and what a reader may see."""

from contextlib import closing
from pathlib import Path

import pytest

from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, ReceiveStock
from lastunit_node.statemachine.database import Identity, open_reader, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.queries import Snapshot, read_snapshot
from lastunit_node.statemachine.results import ReservationState
from lastunit_node.statemachine.tables import LAST_KEY

from .shop import FOREVER, Shop, lines


@pytest.fixture
def mixed(shop: Shop) -> Shop:
    """One reservation in each state, by name, and one that was refused."""
    shop.hold("expired", hold_ticks=1, vase=1)
    shop.release("released", shop.hold("released", vase=1))
    shop.order("refused", vase=99)
    shop.tick(2)
    shop.hold("held", vase=1)
    shop.order("confirmed", vase=1)
    return shop


def ids(shop: Shop, after: str = "", limit: int = 10, state: ReservationState | None = None) -> list[str]:
    return [reservation.reservation_id for reservation in shop.view.list_reservations(after, limit, state)]


def test_unknown_names_are_none(shop: Shop) -> None:
    assert shop.view.stock("teapot") is None
    assert shop.view.reservation("nobody") is None


def test_stock_is_listed_by_sku_in_pages(shop: Shop) -> None:
    shop.receive("more", apple=1, pear=2)

    assert [level.sku for level in shop.view.list_stock("", 2)] == ["apple", "bowl"]
    assert [level.sku for level in shop.view.list_stock("bowl", 10)] == ["pear", "vase"]
    assert shop.view.list_stock("vase", 10) == []
    assert shop.view.list_stock("", 10)[3] == shop.level("vase")


def test_reservations_are_listed_by_id_in_pages(mixed: Shop) -> None:
    assert ids(mixed) == ["confirmed", "expired", "held", "released"]
    assert ids(mixed, limit=2) == ["confirmed", "expired"]
    assert ids(mixed, after="expired", limit=1) == ["held"]
    assert mixed.view.list_reservations("", 10, None)[2] == mixed.reservation("held")


@pytest.mark.parametrize("state", list(ReservationState))
def test_reservations_are_listed_by_state(mixed: Shop, state: ReservationState) -> None:
    assert ids(mixed, state=state) == [state.name.lower()]


def test_a_stretch_of_reservations_counts_every_row_and_bounds_a_list(mixed: Shop) -> None:
    rows = ["confirmed", "expired", "held", "refused", "released"]  # the memory of a refusal is one too
    for count, last in enumerate(rows, 1):
        assert mixed.view.stretch_of_reservations("", count) == last
    assert mixed.view.stretch_of_reservations("expired", 1) == "held"
    assert mixed.view.stretch_of_reservations("", 6) == mixed.view.stretch_of_reservations("released", 1) == LAST_KEY

    listed = mixed.view.list_reservations("confirmed", 10, None, "refused")
    assert [reservation.reservation_id for reservation in listed] == ["expired", "held"]
    assert mixed.view.list_reservations("", 10, ReservationState.RELEASED, "refused") == []


def test_a_due_hold_is_listed_as_expired_before_the_sweep_comes() -> None:
    shop = Shop(sweep_size=1)
    shop.receive("delivery", vase=2)
    shop.hold("r1", hold_ticks=1, vase=1)
    shop.hold("r2", hold_ticks=1, vase=1)
    shop.tick(2)

    assert shop.level().held == 1
    assert ids(shop, state=ReservationState.HELD) == []
    assert ids(shop, state=ReservationState.EXPIRED) == ["r1", "r2"]


def test_a_snapshot_stands_still_while_the_state_moves_on(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(open_state(path, identity=Identity("c", "n1"))) as writer, closing(open_reader(path)) as reader:
        machine = StateMachine(writer)
        machine.apply(1, 1, encode_entry(Entry(1, FOREVER, (Configure(1, 1, 1, 1, 1),))))
        machine.commit()
        with read_snapshot(reader) as snapshot:
            machine.apply(2, 1, encode_entry(Entry(1, FOREVER, (ReceiveStock("truck", lines({"vase": 1})),))))
            machine.commit()
            before = snapshot.applied_index, snapshot.stock("vase")
        with read_snapshot(reader) as later:
            after: Snapshot = later
            assert before == (1, None)
            assert after.applied_index == 2
            assert after.stock("vase") is not None


def test_a_snapshot_does_not_see_what_is_not_committed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(open_state(path, identity=Identity("c", "n1"))) as writer, closing(open_reader(path)) as reader:
        machine = StateMachine(writer)
        machine.apply(1, 1, b"\x01")
        with read_snapshot(reader) as snapshot:
            assert snapshot.applied_index == 0
        machine.commit()
        with read_snapshot(reader) as snapshot:
            assert snapshot.applied_index == 1
