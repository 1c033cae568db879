"""Receipts, adjustments and returns: what their ids were used for, and what they answer when they come again."""

from enum import Enum

from lastunit_node import sqlite
from lastunit_node.statemachine.canonical import decode_answer, encode_answer
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.results import Outcome, Result
from lastunit_node.statemachine.table import Table
from lastunit_node.statemachine.tables import CHANGES, ChangeRow


class Kind(Enum):
    """The three namespaces of ids."""

    RECEIPT = "receipt"
    ADJUSTMENT = "adjustment"
    RETURN = "return"


class Changes:
    """All remembered stock changes."""

    def __init__(self, connection: sqlite.Connection, digest: Digest) -> None:
        self._rows = Table(connection, CHANGES, digest)
        self._waiting = self._rows.count("forget_at_tick IS NOT NULL")

    def answer_again(self, kind: Kind, change_id: str, request: bytes, index: int) -> Result | None:
        """What a known id answers: the first result, or ID_REUSED for another request; None for a new id."""
        row = self._rows.get((kind.value, change_id))
        if row is None:
            return None
        return decode_answer(row.answer) if row.request == request else Result(Outcome.ID_REUSED, index)

    def remember(self, kind: Kind, change_id: str, request: bytes, result: Result, forget_at_tick: int | None) -> None:
        """Keep the first result: for good (None), or until a tick."""
        self._rows.insert(ChangeRow(kind.value, change_id, request, encode_answer(result), forget_at_tick))
        self._waiting += forget_at_tick is not None

    def forget(self, row: ChangeRow) -> None:
        """As if the id had never been seen."""
        self._rows.delete(row)
        self._waiting -= row.forget_at_tick is not None

    def to_forget(self, clock: int, limit: int) -> list[ChangeRow]:
        """Ids whose retention is over."""
        return self._rows.where("forget_at_tick <= ? ORDER BY forget_at_tick, kind, change_id LIMIT ?", clock, limit)

    def wait_for_the_clock(self) -> bool:
        """Whether an id is to be forgotten some day."""
        return self._waiting > 0

    def write_back(self) -> None:
        """Bring the database up to date."""
        self._rows.write_back()
