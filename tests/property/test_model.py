"""The SQLite state machine against the naive model: every result, level and reservation, step by step.

Ids, skus and numbers come from small pools, and half of the commands look at the model for a target, so that
commands meet: copies, reuse, zombies, due and forgotten ids, entries that come again after their time, restarts.
"""

from types import ModuleType

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from unit.statemachine.shop import audit, memory_database

from lastunit_node.statemachine import available, expiry, fragments, stock, table
from lastunit_node.statemachine.brief import full
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
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
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.queries import SqliteSnapshot
from lastunit_node.statemachine.results import Outcome, Parameters, ReservationState

from .model import AVAILABLE, At, Model

TERM = 3
HOMES: dict[str, ModuleType] = {
    "KEPT_SHELVES": stock,
    "KEPT_ROWS": table,
    "KEPT_OF_ALL": available,
    "KEPT_OF_ONE": available,
    "READ_AT_ONCE": available,
    "MANY": stock,
    "AMONG": stock,
    "TOGETHER": stock,
    "RANGES_A_HOLD": expiry,
    "AT_ONCE": expiry,
    "RANGES_AN_ORDER": fragments,
}
DEFAULTS: dict[str, int] = {name: getattr(home, name) for name, home in HOMES.items()}
WRONG = FencingToken(1, 1, 1)

names = st.integers(0, 40).map(lambda number: f"n{number}")
few_names = st.sampled_from(["n1", "n2", "n3"])
skus = st.sampled_from(["bowl", "vase", "vase", "vase", "plate"])
lines = st.lists(st.builds(Line, skus, st.integers(1, 3)), min_size=1, max_size=2).map(tuple)
orders = st.builds(Reserve, names, lines, st.sampled_from([0, 1, 1, 2, 9])) | st.builds(PlaceOrder, names, lines)
stamps = st.sampled_from([3, 3, 1, 0, -1])  # ticks from now until which an entry may act
any_ranges = st.tuples(st.integers(1, 12), st.integers(0, 3)).map(lambda pair: (UnitRange(pair[0], sum(pair)),))


def targets(model: Model) -> st.SearchStrategy[tuple[str, FencingToken]]:
    """Reservations with their tokens: mostly ones that are HELD, due or not."""
    held = [
        (name, order.token or WRONG) for name, order in model.orders.items() if order.state is ReservationState.HELD
    ]
    others = [(name, order.token or WRONG) for name, order in model.orders.items()]
    zombies = [(name, WRONG) for name, _ in held]
    return st.sampled_from([*held * 5, *others, *zombies] or [("n0", WRONG)])


def unit_lines(model: Model, owner: str) -> st.SearchStrategy[tuple[UnitLine, ...]]:
    """Some of its units, or any."""
    units = model.units_of(owner) or [("vase", 1)]
    own = st.lists(st.sampled_from(units), min_size=1, max_size=3).map(
        lambda some: tuple(UnitLine(sku, (UnitRange(number, number),)) for sku, number in some)
    )
    return own | st.builds(UnitLine, skus, any_ranges).map(lambda line: (line,))


def resolutions(name: str, token: FencingToken, clock: int) -> st.SearchStrategy[Command]:
    """What may be asked of a hold."""
    return st.one_of(
        st.builds(Confirm, st.just(name), st.just(token), st.just(()) | lines),
        st.just(Confirm(name, token, ())),
        st.just(Release(name, token)),
        st.builds(Release, few_names | st.just(name), st.none()),
        st.builds(ExtendHold, st.just(name), st.just(token), st.integers(clock, clock + 6)),
    )


def supplies(model: Model) -> st.SearchStrategy[Command]:
    """What may be done to stock."""
    return st.one_of(
        st.builds(ReceiveStock, names, lines),
        st.builds(AdjustStock, names, skus, st.sampled_from([1, 2, 99]), st.just(()), st.just("lost")),
        unit_lines(model, AVAILABLE).flatmap(
            lambda found: st.builds(
                AdjustStock, names, st.just(found[0].sku), st.just(0), st.just(found[0].ranges), st.just("")
            )
        ),
        targets(model).flatmap(
            lambda target: st.builds(ReturnUnits, names, st.just(target[0]), unit_lines(model, target[0]))
        ),
    )


def closings(model: Model) -> st.SearchStrategy[Command]:
    """What may be done to reservations that exist."""
    return targets(model).flatmap(lambda target: resolutions(*target, model.clock))


def alterations(model: Model, name: str) -> st.SearchStrategy[Command]:
    """What leaves a reservation with other units or another expiry than its first answer has."""
    order = model.orders[name]
    token = order.token or WRONG
    if order.state is ReservationState.CONFIRMED:
        return st.builds(ReturnUnits, names, st.just(name), unit_lines(model, name))
    longer = st.integers(model.clock + 4, model.clock + 6).map(lambda until: ExtendHold(name, token, until))
    fewer = st.sampled_from(order.lines).map(lambda line: Confirm(name, token, (Line(line.sku, 1),)))
    return st.one_of(longer, longer, fewer)


def ticks(model: Model) -> st.SearchStrategy[Command]:
    """Ticks, now and then of another moment."""
    return st.sampled_from([0, 0, 0, 1]).map(lambda ahead: Tick(model.clock + ahead))


def admissions(model: Model) -> st.SearchStrategy[Command]:
    """Admissions of few disks of few nodes, some of them late."""
    indexes = st.sampled_from([0, *(index for _, index in model.admitted.values())])
    return st.builds(Admit, st.sampled_from(["n1", "n2"]), st.sampled_from(["a", "b", "c"]), indexes)


class ShopHistory(RuleBasedStateMachine):
    """One log: for the model, for a machine that commits and restarts at every turn, and for one that never does."""

    @initialize(
        sweep_size=st.sampled_from([1, 1, 2]),
        retention_ticks=st.integers(2, 6),
        hold_cap_ticks=st.sampled_from([4, 5, 5, 2]),
        kept=st.sampled_from([0, 1, 3, 10_000]),
        many=st.sampled_from([1, 2, 8]),
        ranges_a_hold=st.sampled_from([1, 1, 2, 10]),
        ranges_an_order=st.sampled_from([10_000, 10_000, 10_000, 1, 3]),
    )
    def open(
        self,
        sweep_size: int,
        retention_ticks: int,
        hold_cap_ticks: int,
        kept: int,
        many: int,
        ranges_a_hold: int,
        ranges_an_order: int,
    ) -> None:
        adjust(
            KEPT_SHELVES=kept,
            KEPT_ROWS=kept,
            KEPT_OF_ALL=kept,
            KEPT_OF_ONE=max(kept, 2),
            READ_AT_ONCE=max(kept, 1),
            MANY=many,
            AMONG=many,
            TOGETHER=2 * many,
            AT_ONCE=many,
            RANGES_A_HOLD=ranges_a_hold,
            RANGES_AN_ORDER=ranges_an_order,
        )
        parameters = Parameters(100, 2, hold_cap_ticks, retention_ticks, sweep_size)
        self.connection = memory_database()
        self.machine = StateMachine(self.connection)
        self.other_connection = memory_database()
        self.other_connection.execute("PRAGMA reverse_unordered_selects = ON")  # which must change nothing
        self.twin = StateMachine(self.other_connection)
        self.model = Model(parameters, ranges_a_hold, many, ranges_an_order)
        self.proposed: list[Entry] = []
        for machine in (self.machine, self.twin):
            machine.apply(1, TERM, encode_entry(Entry(0, 0, (Configure(*parameters),))))
        self.deliver(Entry(0, 0, (ReceiveStock("first", (Line("vase", 20), Line("bowl", 8))),)))

    @rule(data=st.data(), stamp=stamps)
    def order(self, data: st.DataObject, stamp: int) -> None:
        self.propose(data.draw(st.lists(orders, min_size=1, max_size=4)), stamp)

    @rule(fresh=st.integers(0, 40), holds=st.lists(skus, min_size=3, max_size=6), data=st.data())
    def fall_behind(self, fresh: int, holds: list[str], data: st.DataObject) -> None:
        """More holds come due at one tick than a step expires; then something is asked for."""
        crowd = [Reserve(f"n{fresh + number}", (Line(sku, 1),), 1) for number, sku in enumerate(holds)]
        self.propose(data.draw(st.permutations(crowd)), 3)
        self.tick(2)
        self.propose(data.draw(st.lists(orders | closings(self.model), min_size=1, max_size=2)), 3)

    @rule(data=st.data(), stamp=stamps)
    def close(self, data: st.DataObject, stamp: int) -> None:
        self.propose(data.draw(st.lists(closings(self.model), min_size=1, max_size=4)), stamp)

    @rule(data=st.data(), before=orders, after=orders)
    def turn_over(self, data: st.DataObject, before: Command, after: Command) -> None:
        """Units taken and freed and taken in one entry."""
        freed = data.draw(st.lists(closings(self.model), min_size=1, max_size=3))
        self.propose([before, *freed, after], 3)

    @rule(data=st.data(), stamp=stamps)
    def supply(self, data: st.DataObject, stamp: int) -> None:
        self.propose(data.draw(st.lists(supplies(self.model), min_size=1, max_size=3)), stamp)

    @rule(data=st.data(), stamp=stamps)
    def mix(self, data: st.DataObject, stamp: int) -> None:
        """All kinds in one entry, commands that were seen before among them."""
        copies = st.sampled_from([command for entry in self.proposed for command in entry.commands] or [Tick(0)])
        of_the_model = [make(self.model) for make in (closings, supplies, ticks, admissions)]
        kinds = st.one_of(orders, *of_the_model, copies, copies)
        self.propose(data.draw(st.lists(kinds, min_size=2, max_size=6)), stamp)

    @rule(data=st.data(), order=orders, stamp=stamps)
    def repeat(self, data: st.DataObject, order: Reserve | PlaceOrder, stamp: int) -> None:
        """A reservation is made, perhaps before this, and altered; then what made it comes again."""
        name = order.reservation_id
        self.propose([order], 3)
        if self.model.units_of(name):
            kind, _, *more = self.model.orders[name].body or ()
            self.propose([data.draw(alterations(self.model, name))], 3)
            self.propose([kind(name, self.model.orders[name].lines, *more)], stamp)

    @rule(age=st.integers(1, 6))
    def deliver_again(self, age: int) -> None:
        """What was delayed, or proposed again, with the stamp that it had."""
        if self.proposed:
            self.deliver(self.proposed[-min(age, len(self.proposed))])

    @rule(times=st.integers(1, 2))
    def tick(self, times: int) -> None:
        for _ in range(times):
            self.deliver(Entry(0, self.model.clock, (Tick(self.model.clock),)))

    @rule()
    def restart(self) -> None:
        self.machine.commit()
        self.machine = StateMachine(self.connection)

    @invariant()
    def agree(self) -> None:
        self.machine.commit()
        view, model = SqliteSnapshot(self.connection), self.model
        reservations = [one for name in sorted(model.orders) if (one := model.reservation(name)) is not None]
        assert view.list_stock("", 100) == [model.level(sku) for sku in model.skus()]
        assert view.list_reservations("", 100, None) == reservations
        assert (self.machine.clock, self.machine.needs_ticks) == (model.clock, model.needs_ticks())
        assert self.machine.scan_digest() == self.machine.digest
        rows = {node: self.machine.admitted(node) for node in ("n1", "n2")}
        assert {node: row[1:3] for node, row in rows.items() if row} == model.admitted
        audit(self.connection)

    def teardown(self) -> None:
        self.connection.close()
        self.other_connection.close()
        adjust(**DEFAULTS)

    def propose(self, commands: list[Command], stamp: int) -> None:
        self.proposed.append(Entry(len(self.proposed), max(0, self.model.clock + stamp), tuple(commands)))
        self.deliver(self.proposed[-1])

    def deliver(self, entry: Entry) -> None:
        index = self.machine.applied_index + 1
        applied = self.machine.apply(index, TERM, encode_entry(entry))
        assert self.twin.apply(index, TERM, encode_entry(entry)) == applied
        assert self.twin.state_hash() == self.machine.state_hash()
        self.model.step()
        for position, (command, result) in enumerate(zip(entry.commands, applied.results, strict=True)):
            at = At(FencingToken(TERM, index, position), late=self.model.clock > entry.valid_until_tick)
            assert result == self.model.apply(full(command), at), command
            assert result.outcome is not Outcome.MALFORMED
            event(f"{type(command).__name__} {result.outcome.name}{' again' if result.replayed else ''}")


def adjust(**constants: int) -> None:
    """How much is kept in memory or done together decides nothing; the ranges of a hold do, in the model too."""
    for name, value in constants.items():
        setattr(HOMES[name], name, value)


TestShopHistory = ShopHistory.TestCase
TestShopHistory.settings = settings(max_examples=60, stateful_step_count=40)
