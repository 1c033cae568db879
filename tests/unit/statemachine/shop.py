"""A shop to tell stories with: one state machine in memory, every step audited.

shop.order("o1", vase=2) applies one entry with one command and gives its result; quantities are keywords. After
every entry, each unit must be in exactly one place, the levels must say so, and the digest must be that of the rows.
"""

from collections import Counter
from json import loads

from lastunit_node import sqlite
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Command,
    Configure,
    Confirm,
    Entry,
    ExtendHold,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
    UnitLine,
    UnitRange,
)
from lastunit_node.statemachine.database import Identity, create_schema
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.queries import SqliteSnapshot
from lastunit_node.statemachine.results import Applied, Outcome, Reservation, Result, StockLevel

FOREVER = 1 << 40  # a valid_until_tick that never comes
TERM = 7
ELSEWHERE = FencingToken(1, 1, 0)  # a token of no hold of ours


def lines(quantities: dict[str, int]) -> tuple[Line, ...]:
    return tuple(Line(sku, quantity) for sku, quantity in quantities.items())


def ranges(*pairs: tuple[int, int]) -> tuple[UnitRange, ...]:
    return tuple(UnitRange(first, last) for first, last in pairs)


def units(sku: str, *pairs: tuple[int, int]) -> tuple[UnitLine, ...]:
    return (UnitLine(sku, ranges(*pairs)),)


def memory_database() -> sqlite.Connection:
    connection = sqlite.connect(":memory:")
    create_schema(connection, Identity("cluster", "n1"))
    return connection


class Shop:
    def __init__(
        self,
        *,
        hold_ticks: int = 3,
        hold_cap_ticks: int = 10,
        retention_ticks: int = 5,
        sweep_size: int = 100,
        configured: bool = True,
    ) -> None:
        self.connection = memory_database()
        self.machine = StateMachine(self.connection)
        if configured:
            self.do(Configure(100, hold_ticks, hold_cap_ticks, retention_ticks, sweep_size))

    def apply_bytes(self, entry: bytes) -> Applied:
        applied = self.machine.apply(self.machine.applied_index + 1, TERM, entry)
        self.machine.write_back()
        audit(self.connection)
        assert self.machine.scan_digest() == self.machine.digest
        return applied

    def apply(self, *commands: Command, valid_until_tick: int = FOREVER) -> tuple[Result, ...]:
        """The results of one entry with these commands."""
        return self.apply_bytes(encode_entry(Entry(1, valid_until_tick, commands))).results

    def do(self, command: Command, *, valid_until_tick: int = FOREVER) -> Result:
        """The result of an entry with one command."""
        (result,) = self.apply(command, valid_until_tick=valid_until_tick)
        return result

    def receive(self, receipt_id: str, **quantities: int) -> Result:
        return self.do(ReceiveStock(receipt_id, lines(quantities)))

    def order(self, reservation_id: str, **quantities: int) -> Result:
        return self.do(PlaceOrder(reservation_id, lines(quantities)))

    def reserve(self, reservation_id: str, hold_ticks: int = 0, **quantities: int) -> Result:
        return self.do(Reserve(reservation_id, lines(quantities), hold_ticks))

    def hold(self, reservation_id: str, hold_ticks: int = 0, **quantities: int) -> FencingToken:
        """The token of a Reserve that is known to succeed."""
        result = self.reserve(reservation_id, hold_ticks, **quantities)
        assert result.outcome is Outcome.RESERVED
        assert result.token is not None
        return result.token

    def confirm(self, reservation_id: str, token: FencingToken, **quantities: int) -> Result:
        return self.do(Confirm(reservation_id, token, lines(quantities)))

    def release(self, reservation_id: str, token: FencingToken | None = None) -> Result:
        return self.do(Release(reservation_id, token))

    def extend(self, reservation_id: str, token: FencingToken, until_tick: int) -> Result:
        return self.do(ExtendHold(reservation_id, token, until_tick))

    def remove(self, adjustment_id: str, sku: str, quantity: int, reason: str = "damaged") -> Result:
        return self.do(AdjustStock(adjustment_id, sku, quantity, (), reason))

    def remove_units(self, adjustment_id: str, sku: str, *pairs: tuple[int, int]) -> Result:
        return self.do(AdjustStock(adjustment_id, sku, 0, ranges(*pairs), "damaged"))

    def give_back(self, return_id: str, reservation_id: str, sku: str, *pairs: tuple[int, int]) -> Result:
        return self.do(ReturnUnits(return_id, reservation_id, units(sku, *pairs)))

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.do(Tick(self.machine.clock)).outcome is Outcome.TICKED

    def barrier(self) -> None:
        """An entry without commands."""
        assert self.apply() == ()

    @property
    def view(self) -> SqliteSnapshot:
        self.machine.commit()
        return SqliteSnapshot(self.connection)

    def level(self, sku: str = "vase") -> StockLevel:
        level = self.view.stock(sku)
        assert level is not None
        return level

    def available(self, sku: str = "vase") -> int:
        return self.level(sku).available

    def reservation(self, reservation_id: str) -> Reservation:
        reservation = self.view.reservation(reservation_id)
        assert reservation is not None
        return reservation

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return list(self.connection.execute(statement))


def audit(connection: sqlite.Connection) -> None:
    """Every unit 1..received of every sku is in exactly one place, and the levels count them rightly."""
    places: dict[str, Counter[int]] = {}
    totals: dict[str, dict[str, int]] = {}
    for place, sku, first, last in _ranges(connection):
        places.setdefault(sku, Counter()).update(range(first, last + 1))
        counted = totals.setdefault(sku, {})
        counted[place] = counted.get(place, 0) + last - first + 1
    levels = "SELECT sku, received, available, held, sold, removed FROM stock ORDER BY sku"
    for sku, received, *level in connection.execute(levels):
        assert places.pop(sku) == Counter(range(1, received + 1)), f"units of {sku}"
        assert [totals[sku].get(place, 0) for place in ("available", "held", "sold", "removed")] == level, sku
    assert not places
    assert _not_in_order(connection) == [], "available ranges that were not joined, or below the front"


def _ranges(connection: sqlite.Connection) -> list[tuple[str, str, int, int]]:
    found = [("available", *row) for row in available_ranges(connection)]
    found += [("removed", *row) for row in connection.execute("SELECT sku, first, last FROM removed_units")]
    for state, text in connection.execute("SELECT state, units FROM reservations"):
        place = "held" if state == 1 else "sold"
        found += [(place, sku, first, last) for sku, pairs in loads(text) for first, last in pairs]
    return found


def available_ranges(connection: sqlite.Connection) -> list[tuple[str, int, int]]:
    """Available units: for each sku its front, and then what is above it."""
    ranges: list[tuple[str, int, int]] = []
    ranges += connection.execute("SELECT sku, first, last FROM stock WHERE first IS NOT NULL ORDER BY sku")
    ranges += connection.execute("SELECT sku, first, last FROM available_units ORDER BY sku, first")
    return ranges


def _not_in_order(connection: sqlite.Connection) -> list[tuple[str, int, int]]:
    """Ranges with no gap to the one that stands before them."""
    last: dict[str, int] = {}
    wrong = []
    for sku, first, end in available_ranges(connection):
        if first <= last.get(sku, -1) + 1:
            wrong.append((sku, first, end))
        last[sku] = end
    return wrong
