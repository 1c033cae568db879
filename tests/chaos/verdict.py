"""What a checker found: violations in words, and the figures of the history."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from chaos.history import Call, History

Kind = Literal[
    "lost",  # acknowledged, and not there in the end
    "twice",  # one id took effect more than once
    "oversold",  # more units held and sold than there are
    "duplicate_units",  # one unit with two reservations
    "order",  # the log's order contradicts real time
    "answer",  # not what the log gives at that index
    "expiry",  # a hold that ended early, or outlived its time
    "token",  # a fencing token that does not increase
    "definite",  # "certainly not applied" was applied
    "state",  # nodes, or a node and the model, differ in the end
    "unended",  # a call that never ended
    "process",  # a node that ended by itself
]
_MOST_WORDS = 20  # violations of one kind that are told; the others are counted


class Violation(NamedTuple):
    """A broken promise, in words."""

    kind: Kind
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass
class Verdict:
    """Empty of violations: the history is right."""

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)

    def add(self, kind: Kind, message: str) -> None:
        """One more."""
        self.counts[kind] += 1
        if self.counts[kind] <= _MOST_WORDS:
            self.violations.append(Violation(kind, message))

    @property
    def linearizable(self) -> bool:
        """Whether every answer is the log's, and the log's order that of real time."""
        return not self.counts["order"] and not self.counts["answer"] and not self.counts["duplicate_units"]

    def figures(self) -> dict[str, int | bool | list[str]]:
        """The verdict, ready for JSON."""
        return {
            "lost": self.counts["lost"],
            "twice": self.counts["twice"],
            "oversold": self.counts["oversold"],
            "duplicate_units": self.counts["duplicate_units"],
            "linearizable": self.linearizable,
            "violations": [str(violation) for violation in self.violations],
        }


def commands_of(history: History) -> list[Call]:
    """Calls that were to change something."""
    return [call for call in history.calls if not call.is_read]


def call_figures(history: History) -> dict[str, int]:
    """How many commands were acknowledged, refused, left unknown; how many reads were answered."""
    commands = commands_of(history)
    answered = [call.answer for call in commands if call.answer]
    refused = sum(not is_accepted(answer.outcome) for answer in answered)
    return {
        "acked": len(answered) - refused,
        "refused": refused,
        "replayed": sum(answer.replayed for answer in answered),
        "unknown": sum(call.came_to == "unknown" for call in commands),
        "not_applied": sum(call.came_to == "not_applied" for call in commands),
        "reads": sum(call.is_read and call.came_to in {"answered", "not_found"} for call in history.calls),
    }


ACCEPTED = frozenset(
    {"ORDER_PLACED", "RESERVED", "CONFIRMED", "RELEASED", "EXTENDED", "RECEIVED", "ADJUSTED", "RETURNED"}
)


def is_accepted(outcome: str) -> bool:
    """Whether a command did what it was asked."""
    return outcome in ACCEPTED
