"""Fencing tokens, and the one comparison with which anything beside the inventory keeps zombies out.

A buyer whose process was paused past its hold (a *zombie*) wakes up and goes on as if nothing had happened. The
inventory itself refuses its stale token. A payment or warehouse system does the same with one comparison: remember the
largest token seen per resource, refuse a smaller one (Kleppmann, Designing Data-Intensive Applications, chapter 8).
That is sound because a later hold always has the larger token, on every node and after every restart.

    >>> class Warehouse:
    ...     def __init__(self):
    ...         self.gate = FencingGate()
    ...         self.shipped = {}
    ...     def ship(self, unit, token, buyer):
    ...         if not self.gate.admit(unit, token):
    ...             return f"{buyer}: refused, {unit} was promised to someone later"
    ...         self.shipped[unit] = buyer
    ...         return f"{buyer}: {unit} is on its way"
    >>> warehouse = Warehouse()
    >>> warehouse.ship("VASE#1", FencingToken.parse("2.57.0"), "bob")
    'bob: VASE#1 is on its way'
    >>> warehouse.ship("VASE#1", FencingToken.parse("2.14.0"), "zombie alice")
    'zombie alice: refused, VASE#1 was promised to someone later'

The gate lives in memory. Where a restart of the warehouse must not forget, keep the token in the row it guards:
`UPDATE ... SET term = :t ... WHERE (term, log_index, position) <= (:t, :i, :p)`.
"""

import threading
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True, order=True)
class FencingToken:
    """Log position of the command that created a hold; a later hold has a larger token, always.

    Written `term.index.position`, e.g. "3.118.0". Compare tokens, never their text.
    """

    term: int  # Raft term of the entry
    index: int  # log index of the entry
    position: int  # of the command in the entry, from 0

    @classmethod
    def parse(cls, text: str) -> "FencingToken":
        """The token that str() wrote. Raises ValueError."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
            raise ValueError(f"not a fencing token: {text!r} (expected term.index.position, e.g. 3.118.0)")
        return cls(*map(int, parts))

    def __str__(self) -> str:
        return f"{self.term}.{self.index}.{self.position}"


def _is_a_token(given: object) -> bool:
    return isinstance(given, FencingToken) and all(type(field) is int for field in astuple(given))


class FencingGate:
    """Remembers the largest token seen per resource, refuses smaller ones. Thread-safe; grows with the resources."""

    def __init__(self) -> None:
        self._largest: dict[str, FencingToken] = {}
        self._lock = threading.Lock()

    def admit(self, resource: str, token: FencingToken) -> bool:
        """True when no larger token was ever seen for the resource; the same token may come again (a retry).

        TypeError for a token's text, or fields that are text, as JSON has them: texts have another order.
        """
        if not _is_a_token(token):
            raise TypeError(
                f"expected a FencingToken of integers, got {token!r}: texts have another order, "
                "FencingToken.parse() them"
            )
        with self._lock:
            admitted = token >= self._largest.get(resource, token)
            if admitted:
                self._largest[resource] = token
            return admitted

    def largest(self, resource: str) -> FencingToken | None:
        """The largest token seen for the resource; None for a resource never seen."""
        with self._lock:
            return self._largest.get(resource)
