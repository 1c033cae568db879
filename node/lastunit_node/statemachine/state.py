"""The state that commands act on."""

from typing import Final

from lastunit_node import sqlite
from lastunit_node.statemachine.changes import Changes
from lastunit_node.statemachine.errors import InvariantError
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.reservations import Reservations
from lastunit_node.statemachine.results import Parameters, Position
from lastunit_node.statemachine.stock import Stock
from lastunit_node.statemachine.table import Table
from lastunit_node.statemachine.tables import (
    ADMITTED,
    CLOCK,
    PARAMETERS,
    REMOVED,
    AdmittedRow,
    ClockRow,
    ReservationRow,
)

RANGES_AN_ENTRY = 10_000  # that its commands may go through: the next one is postponed. Not Final: tests change it
RANGE_BYTES: Final = 16  # of a range in a row, about
LINE: Final = 2  # ranges that take as long as another line of a command, beside its own


class State:
    """Everything that commands read and change. The database behind it is brought up to date by write_back()."""

    def __init__(self, connection: sqlite.Connection, digest: Digest) -> None:
        self.stock = Stock(connection, digest)
        self.removed = Table(connection, REMOVED, digest)
        self.reservations = Reservations(connection, digest)
        self.changes = Changes(connection, digest)
        self._clock = Table(connection, CLOCK, digest)
        self._parameters = Table(connection, PARAMETERS, digest)
        self._admitted = Table(connection, ADMITTED, digest)
        self.admitted = {row.node: row for row in self._admitted.where("TRUE ORDER BY node")}
        clock = self._clock.get(())
        self.clock = 0 if clock is None else clock.ticks
        self.configured = self._parameters.get(())
        self.swept_at = -1  # at this clock nothing is due: what an entry adds is due at a later tick
        self.spent = 0  # ranges of units that the commands of this entry have gone through, about
        self.left_due_holds = False  # whether the last step may have: what paces proposals, not what decides

    @property
    def parameters(self) -> Parameters:
        """The replicated parameters, on a cluster that was configured."""
        if self.configured is None:
            raise InvariantError("a command ran before the cluster was configured")
        return self.configured

    def configure(self, parameters: Parameters) -> None:
        """Set the parameters, once."""
        self._parameters.insert(parameters)
        self.configured = parameters

    def admit(self, row: AdmittedRow) -> None:
        """Let this disk of a node count, and no other."""
        present = self.admitted.get(row.node)
        if present is None:
            self._admitted.insert(row)
        else:
            self._admitted.replace(present, row)
        self.admitted[row.node] = row

    def advance_clock(self) -> None:
        """One tick."""
        self._clock.replace(ClockRow(self.clock), ClockRow(self.clock + 1))
        self.clock += 1

    def spend(self, ranges: int) -> None:
        """A command of this entry went through so many ranges, or through what takes as long."""
        self.spent += ranges

    def spend_lines(self, lines: int) -> None:
        """A command went through so many lines, each with a sku of its own; the first takes what any command does."""
        self.spend(LINE * (lines - 1))

    @property
    def is_exhausted(self) -> bool:
        """Whether this entry has gone through as much as one may: a range takes some microseconds on every node."""
        return self.spent >= RANGES_AN_ENTRY

    def find(self, reservation_id: str) -> ReservationRow | None:
        """The row of an id, for a command that goes through its ranges."""
        row = self.reservations.find(reservation_id)
        if row is not None:
            self.go_through(row.units, row.answer)
        return row

    def go_through(self, units: str, answer: bytes | None) -> None:
        """A command of this entry goes through a reservation: what that takes is read off its row, and nothing else.

        Where memory spares a node the work, it is spent all the same: what others cannot know must decide nothing.
        """
        self.spend((len(units) + len(answer or b"")) // RANGE_BYTES)

    def write_back(self) -> None:
        """Bring the database up to date, between two entries."""
        for part in (self.stock, self.reservations, self.changes, self.removed, self._clock):
            part.write_back()
        self._parameters.write_back()
        self._admitted.write_back()

    def is_late(self, at: Position) -> bool:
        """Whether a command comes after the last tick at which it may act."""
        return self.clock > at.valid_until_tick

    def end_of_retention(self) -> int:
        """The tick at which an id closed now is forgotten."""
        return self.clock + self.parameters.retention_ticks
