"""The conductor: applies log entries one by one, in index order, and keeps both hashes.

apply() is total: it answers to any bytes. What escapes it is sqlite.Error (the disk) and InvariantError (a broken
promise), and after either the machine refuses to go on: the node stops, and replays from its last commit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from lastunit_node import sqlite
from lastunit_node.statemachine import clock, expiry, holds, membership, orders, supply, tables
from lastunit_node.statemachine.brief import Brief, ConfirmAll, OneLine
from lastunit_node.statemachine.canonical import encode_answers
from lastunit_node.statemachine.codec import DecodedEntry, Malformed, NoOp, Undecodable, decode_entry
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Command,
    Configure,
    Confirm,
    ExtendHold,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
)
from lastunit_node.statemachine.errors import Exhausted, InvariantError
from lastunit_node.statemachine.hashing import Digest, chain_hash, state_crc
from lastunit_node.statemachine.results import Answer, Applied, Outcome, Parameters, Position, Result, StateHash
from lastunit_node.statemachine.state import State
from lastunit_node.statemachine.tables import AdmittedRow

__all__ = ["InvariantError", "StateMachine"]

_HANDLERS: Final[dict[type, Callable[[State, Position, Any], Answer]]] = {
    Reserve: orders.reserve,
    PlaceOrder: orders.place_order,
    Confirm: holds.confirm,
    Release: holds.release,
    ExtendHold: holds.extend_hold,
    ReceiveStock: supply.receive_stock,
    AdjustStock: supply.adjust_stock,
    ReturnUnits: supply.return_units,
    Tick: clock.tick,
    Configure: clock.configure,
    Admit: membership.admit,
}
_ORDERS: Final = Reserve | PlaceOrder
_ON_RESERVATIONS: Final = _ORDERS | Confirm | Release | ExtendHold | ReturnUnits
READ_AHEAD: Final = 10_000  # skus: an entry gets to no more lines of orders (state.py); others are read when asked for


class StateMachine:
    """The inventory of one node, on the writer connection of its state database."""

    def __init__(self, connection: sqlite.Connection) -> None:
        self._connection = connection
        row = sqlite.only_row(connection, "SELECT applied_index, applied_term, chain, digest FROM state")
        self.applied_index: int = row[0]
        self.applied_term: int = row[1]
        self.chain: bytes = row[2]
        self._digest = Digest.from_bytes(row[3])
        self._state = State(connection, self._digest)
        self.committed_index: int = self.applied_index
        self._failed = False

    @property
    def clock(self) -> int:
        """Ticks applied so far."""
        return self._state.clock

    @property
    def parameters(self) -> Parameters | None:
        """The replicated parameters; None until Configure was applied."""
        return self._state.configured

    def admitted(self, node: str) -> AdmittedRow | None:
        """The disk of a node that counts; None before its first Admit."""
        return self._state.admitted.get(node)

    @property
    def digest(self) -> bytes:
        """Sum of the hashes of all logical rows, 16 bytes."""
        return self._digest.to_bytes()

    @property
    def needs_ticks(self) -> bool:
        """Whether a hold, or an id to forget, waits for the clock."""
        return self._state.reservations.wait_for_the_clock() or self._state.changes.wait_for_the_clock()

    @property
    def left_due_holds(self) -> bool:
        """Whether holds may be due still: the clock stands until entries have expired them."""
        return self._state.left_due_holds

    def state_hash(self) -> StateHash:
        """Both hashes at the applied index."""
        return StateHash(self.applied_index, self.chain, self.digest)

    def scan_digest(self) -> bytes:
        """The digest recomputed from all rows: differs from `digest` when rows changed behind our back."""
        self.write_back()
        return tables.scan_digest(self._connection)

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        """Apply the entry at applied_index + 1 and answer its commands.

        What it changes reaches the database with commit() at the latest. Raises InvariantError and sqlite.Error.
        """
        self._refuse_after_failure()
        if index != self.applied_index + 1:
            raise InvariantError(f"index {index} was to be applied after index {self.applied_index}")
        with self._failing_for_good(index):
            return self._apply(index, term, entry)

    def write_back(self) -> None:
        """Bring the rows in the open transaction up to date, for who looks at them through the same connection."""
        self._refuse_after_failure()
        with self._failing_for_good(self.applied_index):
            self._state.write_back()

    def commit(self) -> None:
        """Commit what was applied, with applied index and hashes, in one transaction. Nothing to do: does nothing.

        Raises InvariantError and sqlite.Error.
        """
        self._refuse_after_failure()
        if self.committed_index == self.applied_index:
            return
        with self._failing_for_good(self.applied_index):
            self._commit()

    def _commit(self) -> None:
        self._state.write_back()
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        row = (self.applied_index, self.applied_term, self.chain, self.digest)
        self._connection.execute(
            "UPDATE state SET applied_index = ?, applied_term = ?, chain = ?, digest = ?, crc = ?",
            (*row, state_crc(*row)),
        )
        self._connection.execute("COMMIT")
        self.committed_index = self.applied_index

    def checkpoint(self) -> bool:
        """Make everything committed durable; whether that is done.

        False, to try again, while a reader holds it back, a transaction is open, or somebody else is at it.
        """
        self._refuse_after_failure()
        return not self._connection.in_transaction and sqlite.checkpoint(self._connection)

    def leave_checkpoints_to(self, other: Callable[[int], None]) -> None:
        """Make none with commit() any more; who does is told after each how many pages the -wal has."""
        sqlite.leave_checkpoints(self._connection, other)

    def shorten_wal(self, pages: int, piece: int) -> None:
        """Have bytes cut off the file of a -wal that is longer than so many pages, a piece at a time."""
        sqlite.shorten_wal(self._connection, pages, piece)

    @contextmanager
    def _failing_for_good(self, index: int) -> Iterator[None]:
        """What goes wrong in here leaves a machine that refuses to go on."""
        try:
            yield
        except (InvariantError, sqlite.ConstraintError) as error:
            self._failed = True
            raise InvariantError(f"at index {index}: {error}") from error
        except BaseException:
            self._failed = True
            raise

    def _refuse_after_failure(self) -> None:
        if self._failed:
            raise InvariantError(f"a failure after index {self.applied_index} stopped this state machine")

    def _apply(self, index: int, term: int, entry: bytes) -> Applied:
        expiry.step(self._state)
        self._state.spent = 0
        decoded = decode_entry(entry)
        answers = self._answer(index, term, decoded)
        self._state.stock.settle()
        self.chain = chain_hash(self.chain, index, term, entry, encode_answers(answers))
        self.applied_index, self.applied_term = index, term
        return Applied(index, term, decoded.nonce if isinstance(decoded, DecodedEntry) else 0, answers)

    def _answer(self, index: int, term: int, entry: DecodedEntry | NoOp | Undecodable) -> list[Answer]:
        if isinstance(entry, NoOp):
            return []
        if isinstance(entry, Undecodable):
            return [Result(Outcome.MALFORMED, index)]
        self._prefetch(entry.in_brief)
        return [
            self._answer_one(command, Position(term, index, position, entry.valid_until_tick))
            for position, command in enumerate(entry.in_brief)
        ]

    def _prefetch(self, commands: tuple[Command | Brief | Malformed, ...]) -> None:
        """Read what these commands will ask for in a few questions, not one by one; of much, what comes first."""
        ids: list[str] = []
        skus: list[str] = []
        for one in commands:
            if isinstance(one, OneLine):
                ids.append(one.reservation_id)
                skus.append(one.sku)
            elif isinstance(one, ConfirmAll | _ON_RESERVATIONS):
                ids.append(one.reservation_id)
                if isinstance(one, _ORDERS):
                    skus += [line.sku for line in one.lines]
                    if len(skus) >= READ_AHEAD:
                        break
        self._state.reservations.prefetch(ids)
        self._state.stock.prefetch(skus)

    def _answer_one(self, command: Command | Brief | Malformed, at: Position) -> Answer:
        """What a command is answered. When one is postponed, so are all that follow it in its entry."""
        if self._state.is_exhausted:
            return at.answer(Outcome.POSTPONED)
        try:
            return self._carry_out(command, at)
        except Exhausted:
            return at.answer(Outcome.POSTPONED)

    def _carry_out(self, command: Command | Brief | Malformed, at: Position) -> Answer:
        if isinstance(command, Malformed):
            return at.answer(Outcome.MALFORMED)
        if self._state.configured is None and not isinstance(command, Configure | Admit):
            return at.answer(Outcome.NOT_CONFIGURED)
        if isinstance(command, OneLine):
            return orders.one_line(self._state, at, command)
        if isinstance(command, ConfirmAll):
            return holds.confirm_all(self._state, at, command)
        return _HANDLERS[type(command)](self._state, at, command)
