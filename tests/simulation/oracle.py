"""What the log means: the first node that applies an index says so, and everyone else must agree, for ever.

The first application of an index is also held against the naive model of tests/property, which shares no code with the
state machine: same results, for every command, in log order. It knows no clock but the Ticks of the log, and nothing of
how much an entry may do: it is told which holds were expired for a command that was then postponed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from property.model import At, Model, admit

from lastunit_node.statemachine.codec import DecodedEntry, Malformed, decode_entry
from lastunit_node.statemachine.commands import Admit, Command, Configure, FencingToken
from lastunit_node.statemachine.results import Applied, Outcome, Parameters, Result, StateHash

_NEW_HOLDS = {Outcome.RESERVED, Outcome.ORDER_PLACED}
_EFFECTS = _NEW_HOLDS | {Outcome.CONFIRMED, Outcome.RELEASED, Outcome.RECEIVED, Outcome.ADJUSTED, Outcome.RETURNED}


class Violation(Exception):
    """Something that must never be."""


class Record(NamedTuple):
    """What an index holds, and what applying it gave."""

    term: int
    entry: bytes
    applied: Applied
    state: StateHash


class Oracle:
    """The one log of a seed."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.last_index_of_term: dict[int, int] = {}
        self.told = 0  # the greatest index of which a client was told by an answer or a linearizable read
        self._meaning = Meaning()

    def applied(
        self, node: str, entry: bytes, applied: Applied, state: StateHash, expired: Callable[[], set[str]]
    ) -> bool:
        """A node applied an index, for the first time or again. Whether it is the first node to do so.

        expired: asks the node for the ids of its reservations that are EXPIRED.
        """
        record = Record(applied.term, entry, applied, state)
        position = applied.index - 1
        if position < len(self.records):
            self._compare(node, self.records[position], record)
            return False
        if position != len(self.records):
            raise Violation(f"{node} applied index {applied.index} after {len(self.records)}")
        self.records.append(record)
        self.last_index_of_term[applied.term] = applied.index
        self._meaning.check(applied, entry, expired)
        return True

    def acknowledged(self, node: str, applied: Applied) -> None:
        """A client was told this result."""
        if len(self.records) < applied.index or self.records[applied.index - 1].applied != applied:
            raise Violation(f"{node} acknowledged what index {applied.index} does not say")
        self.told = max(self.told, applied.index)

    def read(self, node: str, kept: StateHash, digest: bytes, at_least: int) -> None:
        """A client read all rows of a node's state. They are those of one index, and of no earlier one than asked for.

        kept: what the snapshot says of itself; digest: that of its rows.
        """
        if kept.index < at_least:
            raise Violation(f"{node} answered a read of index {at_least} or later from index {kept.index}")
        known = self.records[kept.index - 1].state if 0 < kept.index <= len(self.records) else None
        if kept.index and (known != kept or digest != kept.digest):
            raise Violation(f"{node} answered a read from rows that are not those of index {kept.index}")

    def admitted(self, node: str) -> str | None:
        """The instance of the disk of a node that the log admitted last."""
        return self._meaning.admitted(node)

    def last_before(self, term: int) -> int:
        """The last index that an earlier term put into the log; 0 for none."""
        return max((index for its, index in self.last_index_of_term.items() if its < term), default=0)

    def _compare(self, node: str, known: Record, seen: Record) -> None:
        if known != seen:
            what = next(name for name in Record._fields if getattr(known, name) != getattr(seen, name))
            raise Violation(
                f"{node} differs at index {seen.applied.index} in {what}: {short(seen)}, not {short(known)}"
            )


def short(record: Record) -> str:
    return f"(term {record.term}, {len(record.entry)} bytes, {record.applied.results[:2]}, {record.state.digest.hex()})"


class Meaning:
    """Every result, against the model and against the promises that need no model."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._admitted: dict[str, tuple[str, int]] = {}
        self._last_token = FencingToken(0, 0, 0)
        self._effects: dict[tuple[str, str], int] = {}

    def admitted(self, node: str) -> str | None:
        row = self._admitted.get(node)
        return None if row is None else row[0]

    def check(self, applied: Applied, entry: bytes, expired: Callable[[], set[str]]) -> None:
        if self._model is not None:
            self._model.step()
        decoded = decode_entry(entry)
        if not isinstance(decoded, DecodedEntry):
            return
        for position, (command, result) in enumerate(zip(decoded.commands, applied.results, strict=True)):
            if result.outcome is Outcome.POSTPONED:
                self._check_postponed(applied, position, expired())
                return
            token = FencingToken(applied.term, applied.index, position)
            expected = self._expect(command, token, decoded.valid_until_tick)
            if result != expected:
                raise Violation(f"index {applied.index}, {str(command)[:200]}: {result}, not {expected}")
            self._check_promises(command, result)

    def _check_postponed(self, applied: Applied, position: int, expired: set[str]) -> None:
        """From this position on nothing was done, but that holds were expired; and an entry does something."""
        if any(result.outcome is not Outcome.POSTPONED for result in applied.results[position:]):
            raise Violation(f"index {applied.index}: a command was carried out behind one that was postponed")
        moved = 0 if self._model is None else self._model.expire_those(expired)
        if not position + moved:
            raise Violation(f"index {applied.index}: all was postponed, and nothing was done for it")

    def _expect(self, command: Command | Malformed, token: FencingToken, valid_until_tick: int) -> Result:
        if isinstance(command, Malformed):
            return Result(Outcome.MALFORMED, token.index)
        if self._model is not None:
            return self._model.apply(command, At(token, late=self._model.clock > valid_until_tick))
        if isinstance(command, Admit):
            return admit(self._admitted, command, At(token, late=False))
        if not isinstance(command, Configure):
            return Result(Outcome.NOT_CONFIGURED, token.index)
        self._model = Model(Parameters(*command), admitted=self._admitted)
        return Result(Outcome.CONFIGURED, token.index)

    def _check_promises(self, command: Any, result: Result) -> None:
        if result.replayed or result.outcome not in _EFFECTS:
            return
        kind = "take" if result.outcome in _NEW_HOLDS else type(command).__name__
        if result.outcome in _NEW_HOLDS:
            self._check_token(result)
            if ("Release", command[0]) in self._effects:
                raise Violation(f"index {result.index}: {command[0]} was released before it was taken")
        first = self._effects.setdefault((kind, command[0]), result.index)
        if first != result.index:
            raise Violation(f"index {result.index}: {command} had its effect at index {first} already")

    def _check_token(self, result: Result) -> None:
        if result.token is None or result.token <= self._last_token:
            raise Violation(f"index {result.index}: token {result.token} after {self._last_token}")
        self._last_token = result.token
