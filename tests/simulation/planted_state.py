"""Bugs of applying, of compaction and of the state machine."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lastunit_node.replica import compaction, core, raft, syncobj
from lastunit_node.replica.clock import monotonic
from lastunit_node.statemachine import available, expiry, machine, orders, reservations, results, state
from lastunit_node.statemachine.commands import Reserve, UnitRange
from lastunit_node.statemachine.tables import AvailableRow
from simulation.planting import mutant, replace

# State machine.


@mutant("apply the last entry again after a restart, unguarded")
def apply_twice() -> None:
    def restart(original: Callable[..., None]) -> Callable[..., None]:
        return lambda self, applied, *more: original(self, max(0, applied - 1), *more)

    def apply(self: Any, index: int, term: int, entry: bytes) -> Any:
        return self._apply(index, term, entry)

    replace(syncobj.RaftHooks, "restart_at", restart)
    replace(machine.StateMachine, "apply", lambda _apply: apply)


@mutant("apply again when a callback raises (stock)")
def apply_again_when_a_callback_raises() -> None:
    class Raised(Exception):
        pass

    def apply_one(original: Callable[..., None]) -> Callable[..., None]:
        def apply(self: Any, data: bytes, index: int, term: int) -> None:
            before = self.last_applied
            original(self, data, index, term)
            if index % 8 == 0 and self._outcomes:
                self._outcomes.clear()
                self.set_last_applied(before)
                raise Raised

        return apply

    def apply_committed(original: Callable[..., None]) -> Callable[..., None]:
        def apply(self: Any) -> None:
            with suppress(Raised):
                original(self)

        return apply

    def unguarded(self: Any, index: int, term: int, entry: bytes) -> Any:
        return self._apply(index, term, entry)

    replace(raft.Raft, "_apply", apply_one)
    replace(raft.Raft, "apply_committed", apply_committed)
    replace(machine.StateMachine, "apply", lambda _apply: unguarded)


@mutant("call readable what is applied, and not committed")
def read_uncommitted() -> None:
    replace(core.ReplicaCore, "readable_index", lambda _index: property(lambda self: self._machine.applied_index))


@mutant("commit rows without the index that they are of")
def commit_rows_alone() -> None:
    def apply(original: Callable[..., Any]) -> Callable[..., Any]:
        def applying(self: Any, index: int, term: int, entry: bytes) -> Any:
            applied = original(self, index, term, entry)
            self._state.write_back()
            if index % 8 == 0 and self._connection.in_transaction:
                self._connection.execute("COMMIT")
            return applied

        return applying

    replace(machine.StateMachine, "_apply", apply)


@mutant("forget entries that no durable state has applied", bound=150)
def compact_too_far() -> None:
    def trim(self: Any, followers: Any, held: Any) -> bool:
        self._durable = self._machine.applied_index
        keep_from = self._oldest(self._durable, followers, held)
        if keep_from - self._journal.first_index < compaction.PIECE_ENTRIES:
            return False
        self._journal.trim(keep_from, compaction.PIECE_ENTRIES)
        return True

    replace(compaction.Compactor, "_trim", lambda _trim: trim)


@mutant("skip an entry after a restart, unguarded")
def skip_an_entry() -> None:
    def restart(original: Callable[..., None]) -> Callable[..., None]:
        return lambda self, applied, *more: original(self, min(applied + 1, self.journal.last_index), *more)

    def apply(self: Any, index: int, term: int, entry: bytes) -> Any:
        return self._apply(index, term, entry)

    replace(syncobj.RaftHooks, "restart_at", restart)
    replace(machine.StateMachine, "apply", lambda _apply: apply)


@mutant("expire by the local clock")
def expire_by_local_time() -> None:
    def due(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, clock, limit: original(self, clock + int(10 * monotonic()) % 2, limit)

    replace(reservations.Reservations, "due", due)


@mutant("expire a tick early")
def expire_early() -> None:
    def due(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, clock, limit: original(self, clock + 1, limit)

    replace(reservations.Reservations, "due", due)


@mutant("never free what has expired")
def keep_expired_units() -> None:
    replace(expiry, "step", lambda _step: lambda _state: None)


@mutant("forget a refusal")
def forget_refusals() -> None:
    replace(orders, "_remember", lambda _remember: lambda _state, _reservation_id, _request, refusal: refusal)


@mutant("reuse a token")
def reuse_tokens() -> None:
    def handler(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_first_position(its: Any, at: results.Position, command: Reserve) -> Any:
            return original(its, results.Position(at.term, at.index, 0, at.valid_until_tick), command)

        return with_first_position

    machine._HANDLERS[Reserve] = handler(machine._HANDLERS[Reserve])


@mutant("serve what comes too late")
def ignore_stamps() -> None:
    replace(state.State, "is_late", lambda _is: lambda _self, _at: False)


@mutant("keep no range in memory that comes back")
def forget_what_comes_back() -> None:
    def add(self: Any, sku: str, units: UnitRange) -> None:
        self._table.insert(AvailableRow(sku, *units))

    replace(available.AvailableRanges, "add", lambda _add: add)


@mutant("spend nothing on a confirm of what memory knows", bound=150)
def spend_by_what_memory_knows() -> None:
    def find(self: Any, reservation_id: str) -> Any:
        row = self.reservations.find(reservation_id)
        if row is not None:
            self.spend((len(row.units) + len(row.answer or b"")) // state.RANGE_BYTES)
        return row

    replace(state.State, "find", lambda _find: find)
    replace(state.State, "go_through", lambda _go: lambda _self, _units, _answer: None)


@mutant("carry out what comes behind a postponed command")
def go_on_behind_what_was_postponed() -> None:
    def answer(self: Any, command: Any, at: results.Position) -> Any:
        if self._state.is_exhausted and at.position % 2:
            return at.answer(results.Outcome.POSTPONED)
        return self._carry_out(command, at)

    replace(machine.StateMachine, "_answer_one", lambda _answer: answer)
