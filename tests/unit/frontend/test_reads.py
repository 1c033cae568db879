"""Queries over a real channel: freshness, one snapshot, pages, what is not there."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend import listings, reads
from lastunit_node.frontend.batcher import Batcher
from lastunit_node.frontend.pages import page_token
from lastunit_node.statemachine.limits import MAX_TICK
from lastunit_node.statemachine.results import Reservation, ReservationState, StockLevel

from .errors_of_calls import error_of
from .fakes import STATUS, FakeReplica, until

if TYPE_CHECKING:
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

STALE = pb.ReadOptions(consistency=pb.READ_CONSISTENCY_STALE)


@pytest.fixture(autouse=True)
def rows(replica: FakeReplica) -> None:
    """Skus a to e, reservations r0 to r5 of which every second is confirmed."""
    replica.rows.levels = {sku: StockLevel(sku, 15, 1, 2, 4, 8) for sku in "abcde"}
    for number in range(6):
        state = ReservationState.CONFIRMED if number % 2 else ReservationState.HELD
        name = f"r{number}"
        replica.rows.reservations[name] = Reservation(name, state, None, 7, 107, (), ())


async def test_a_linearizable_read_waits_for_an_entry_of_its_own(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    response = await inventory.GetStock(pb.GetStockRequest(sku="a"))
    level = pb.StockLevel(sku="a", received=15, available=1, held=2, sold=4, removed=8)
    assert response == pb.GetStockResponse(stock=level, applied_index=1)
    assert [proposal.commands for proposal in replica.proposals] == [()]


async def test_a_linearizable_read_waits_until_its_entry_is_committed_to_the_state(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.commits_late = True
    assert (await inventory.GetStock(pb.GetStockRequest(sku="a"))).applied_index == 1
    assert replica.waited_for == [1]


async def test_a_state_that_was_found_damaged_is_not_read(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.is_damaged = True
    error = await error_of(inventory.GetStock(pb.GetStockRequest(sku="a", options=STALE)))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "STOPPING")


async def test_a_system_that_will_not_read_now_is_no_bug_of_ours(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.read_problem = "disk I/O error"
    error = await error_of(inventory.GetStock(pb.GetStockRequest(sku="a", options=STALE)))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "READ_REFUSED")
    assert "(disk I/O error)" in error.message


async def test_a_stale_read_proposes_nothing(inventory: "InventoryServiceAsyncStub", replica: FakeReplica) -> None:
    await replica.set(replace(STATUS, applied_index=12, has_quorum=False))
    response = await inventory.GetReservation(pb.GetReservationRequest(reservation_id="r0", options=STALE))
    assert response.reservation.state == pb.RESERVATION_STATE_HELD
    assert response.applied_index == 12
    assert not replica.proposals


async def test_reads_that_are_ready_together_let_the_loop_go_on(
    replica: FakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry made hundreds of pages ready at once: an order waited for all of them."""
    monkeypatch.setattr(reads, "BREAK_SECONDS", 0.0)
    reader = reads.Reader(replica, Batcher(replica), asyncio.Event())
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    turn()
    deadline = asyncio.get_running_loop().time() + 10.0
    seen = await asyncio.gather(*(reader.read(STALE, deadline, lambda _snapshot: turns) for _ in range(5)))
    assert len(set(seen)) == 5


async def test_min_index_waits_until_this_node_has_applied_it(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    options = pb.ReadOptions(consistency=pb.READ_CONSISTENCY_STALE, min_index=5)
    call = inventory.GetStock(pb.GetStockRequest(sku="a", options=options))
    await replica.reach(4)
    await until(lambda: replica.waited_for == [5])
    await replica.reach(5)
    assert (await call).applied_index == 5


async def test_min_index_that_is_not_reached_is_a_definite_error(inventory: "InventoryServiceAsyncStub") -> None:
    options = pb.ReadOptions(consistency=pb.READ_CONSISTENCY_STALE, min_index=5)
    error = await error_of(inventory.GetStock(pb.GetStockRequest(sku="a", options=options), timeout=0.5))
    assert (error.code, error.definite) == (grpc.StatusCode.DEADLINE_EXCEEDED.value[0], "true")


async def test_so_many_reads_may_wait_for_an_index_and_no_more(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_WAITING", 3)
    options = pb.ReadOptions(consistency=pb.READ_CONSISTENCY_STALE, min_index=5)
    request = pb.GetStockRequest(sku="a", options=options)
    waiting = [inventory.GetStock(request) for _ in range(3)]
    await until(lambda: replica.waited_for == [5] * 3)
    error = await error_of(inventory.GetStock(request))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "TOO_MANY_WAIT")
    assert error.definite == "true"
    waiting[0].cancel()
    await until(lambda: replica.waiting == 2)
    waiting[0] = inventory.GetStock(request)
    await until(lambda: replica.waited_for == [5] * 4)
    await replica.reach(5)
    assert [(await call).applied_index for call in waiting] == [5] * 3


@pytest.mark.parametrize(
    ("method", "request_", "name"),
    [
        ("GetStock", pb.GetStockRequest(sku="nothing"), "nothing"),
        ("GetReservation", pb.GetReservationRequest(reservation_id="nobody"), "nobody"),
    ],
)
async def test_what_is_not_there_is_not_found(
    inventory: "InventoryServiceAsyncStub", method: str, request_: Any, name: str
) -> None:
    error = await error_of(getattr(inventory, method)(request_))
    assert (error.code, error.reason, error.definite) == (grpc.StatusCode.NOT_FOUND.value[0], "NOT_FOUND", "true")
    assert name in error.message


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("GetStock", pb.GetStockRequest(), "sku"),
        ("GetStock", pb.GetStockRequest(sku="a", options=pb.ReadOptions(consistency=9)), "options.consistency"),  # type: ignore[arg-type]
        ("GetStock", pb.GetStockRequest(sku="a", options=pb.ReadOptions(min_index=MAX_TICK + 1)), "options.min_index"),
        ("GetReservation", pb.GetReservationRequest(reservation_id="a/b"), "reservation_id"),
        ("ListStock", pb.ListStockRequest(page_size=-1), "page_size"),
        ("ListStock", pb.ListStockRequest(page_token="never given"), "page_token"),
        ("ListStock", pb.ListStockRequest(page_token="é"), "page_token"),
        ("ListStock", pb.ListStockRequest(page_token=page_token("reservations", "r1")), "page_token"),
        ("ListReservations", pb.ListReservationsRequest(state=9), "state"),  # type: ignore[arg-type]
        (
            "ListReservations",
            pb.ListReservationsRequest(page_token=page_token("reservations", "r1"), state=pb.RESERVATION_STATE_HELD),
            "page_token",
        ),
    ],
)
async def test_a_malformed_query_names_its_field(
    inventory: "InventoryServiceAsyncStub", replica: FakeReplica, method: str, request_: Any, field: str
) -> None:
    error = await error_of(getattr(inventory, method)(request_))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], [field])
    assert not replica.proposals


async def test_what_nobody_thought_of_is_internal_and_logged(
    inventory: "InventoryServiceAsyncStub",
    replica: FakeReplica,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(replica, "snapshot", lambda: 1 / 0)
    error = await error_of(inventory.GetStock(pb.GetStockRequest(sku="a")))
    assert (error.code, error.reason, error.definite) == (grpc.StatusCode.INTERNAL.value[0], "INTERNAL", "true")
    assert "ZeroDivisionError" in caplog.text


async def pages_of_stock(inventory: "InventoryServiceAsyncStub", page_size: int) -> list[list[str]]:
    pages: list[list[str]] = []
    token = ""
    while token or not pages:
        response = await inventory.ListStock(pb.ListStockRequest(page_size=page_size, page_token=token, options=STALE))
        pages.append([level.sku for level in response.stock])
        token = response.next_page_token
    return pages


@pytest.mark.parametrize(
    ("page_size", "pages"),
    [
        (2, [["a", "b"], ["c", "d"], ["e"]]),
        (5, [["a", "b", "c", "d", "e"]]),
        (0, [["a", "b", "c", "d", "e"]]),
    ],
)
async def test_pages_give_every_row_once_in_order(
    inventory: "InventoryServiceAsyncStub", page_size: int, pages: list[list[str]]
) -> None:
    assert await pages_of_stock(inventory, page_size) == pages


async def test_a_page_has_at_most_1000_rows(inventory: "InventoryServiceAsyncStub", replica: FakeReplica) -> None:
    names = [f"s{number:04}" for number in range(1_100)]
    replica.rows.levels = {sku: StockLevel(sku, 1, 1, 0, 0, 0) for sku in names}
    assert [len(page) for page in await pages_of_stock(inventory, 5_000)] == [1_000, 100]
    assert [len(page) for page in await pages_of_stock(inventory, 0)] == [100] * 11


async def test_a_page_of_large_rows_is_shorter(
    inventory: "InventoryServiceAsyncStub", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MAX_MESSAGE_BYTES", 20)
    assert await pages_of_stock(inventory, 5) == [["a", "b"], ["c", "d"], ["e"]]


async def test_an_empty_list_has_one_empty_page(inventory: "InventoryServiceAsyncStub", replica: FakeReplica) -> None:
    replica.rows.levels.clear()
    assert await pages_of_stock(inventory, 2) == [[]]


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (pb.RESERVATION_STATE_UNSPECIFIED, ["r0", "r1", "r2", "r3", "r4", "r5"]),
        (pb.RESERVATION_STATE_CONFIRMED, ["r1", "r3", "r5"]),
        (pb.RESERVATION_STATE_EXPIRED, []),
    ],
)
async def test_reservations_are_listed_by_state(
    inventory: "InventoryServiceAsyncStub", state: "pb.ReservationState.ValueType", names: list[str]
) -> None:
    found: list[str] = []
    request = pb.ListReservationsRequest(page_size=2, state=state, options=STALE)
    while request.page_token or not found:
        response = await inventory.ListReservations(request)
        found += [reservation.reservation_id for reservation in response.reservations]
        request.page_token = response.next_page_token
        if not request.page_token:
            break
    assert found == names


@pytest.mark.parametrize(
    ("state", "pages"),
    [
        (pb.RESERVATION_STATE_UNSPECIFIED, [["r0", "r1"], ["r2", "r3"], ["r4", "r5"]]),
        (pb.RESERVATION_STATE_CONFIRMED, [["r1"], ["r3"], ["r5"]]),
        (pb.RESERVATION_STATE_EXPIRED, [[], [], []]),
    ],
)
async def test_a_page_looks_at_so_many_reservations_and_no_more(
    inventory: "InventoryServiceAsyncStub",
    monkeypatch: pytest.MonkeyPatch,
    state: "pb.ReservationState.ValueType",
    pages: list[list[str]],
) -> None:
    monkeypatch.setattr(listings, "ROWS_LOOKED_AT", 2)
    found: list[list[str]] = []
    request = pb.ListReservationsRequest(page_size=3, state=state, options=STALE)
    while len(found) < 9:
        response = await inventory.ListReservations(request)
        found.append([reservation.reservation_id for reservation in response.reservations])
        request.page_token = response.next_page_token
        if not request.page_token:
            break
    assert found == [*pages, []]
