"""What happens in a sale, drawn from its seed: who buys where, whose card is bad, how long calls and pauses take.

Every role draws from a random stream of its own, so that the choices of one do not shift those of another, whatever
order the tasks run in. Only choices are repeated by a seed: the processes and the network are real, so timing is not.
"""

import random
from dataclasses import dataclass
from typing import Final

SKU: Final = "forest-whisper"  # the kata's vase
LAST_VASE: Final = "last-vase"  # the one unit of act four
ORDERS_PER_BAD_CARD: Final = 5
RUSH_SECONDS: Final = 0.25  # all buyers come within this time
LAG_SECONDS: Final = (0.05, 0.2)  # of one call, as in the kata
PAUSE_SECONDS: Final = (0.05, 0.4)  # of a buyer's process, between reserve and confirm
COME_BACK_SECONDS: Final = (0.1, 0.4)  # after the first refusal, before the next try
PATIENT_AFTER_TRIES: Final = 4
NODE_PAUSE_SECONDS: Final = (0.2, 0.5)  # of a follower's process (SIGSTOP)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    units: int
    orders: int
    nodes: int
    kills: int
    seed: int


@dataclass(frozen=True, slots=True)
class Choices:
    """Delays drawn for one role, in seconds."""

    stream: random.Random

    def arrival(self) -> float:
        """When a buyer comes, counted from the opening."""
        return self.stream.uniform(0, RUSH_SECONDS)

    def lag(self) -> float:
        """How long one call is under way."""
        return self.stream.uniform(*LAG_SECONDS)

    def pause(self) -> float:
        """How long a buyer's process stands still."""
        return self.stream.uniform(*PAUSE_SECONDS)

    def come_back(self, tries: int) -> float:
        """How long a refused buyer waits before it tries again: longer after some tries."""
        return self.stream.uniform(*COME_BACK_SECONDS) * min(tries, PATIENT_AFTER_TRIES)

    def node_pause(self) -> float:
        """How long a follower's process stands still."""
        return self.stream.uniform(*NODE_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class BuyerPlan:
    """One buyer: wants one vase, calls its home node first, has a card that is good or bad for all of the sale."""

    name: str
    home: int  # position of the node, from 0
    card_is_good: bool


@dataclass(frozen=True, slots=True)
class SalePlan:
    """A whole sale as drawn from the seed."""

    options: Options
    buyers: tuple[BuyerPlan, ...]
    kill_after: tuple[int, ...]  # vases sold before each kill of the leader

    @property
    def good_cards(self) -> int:
        """The demand that can pay: a buyer with a bad card is out for good, its vase goes back."""
        return sum(buyer.card_is_good for buyer in self.buyers)

    @property
    def expected_sold(self) -> int:
        """Vases that must be sold, neither more nor fewer."""
        return min(self.options.units, self.good_cards)

    def choices(self, role: str) -> Choices:
        """The random stream of one role."""
        return Choices(stream(self.options.seed, role))


def stream(seed: int, role: str) -> random.Random:
    """The same numbers for the same seed and role, in every process (a str is seeded by its bytes, not its hash)."""
    return random.Random(f"{seed}/{role}")  # noqa: S311 - a plot, not a secret


def plan_sale(options: Options) -> SalePlan:
    """Draw a sale: one order in five has a bad card, buyers are spread evenly, kills split the vases evenly."""
    numbers = range(1, options.orders + 1)
    bad_cards = set(stream(options.seed, "cards").sample(numbers, options.orders // ORDERS_PER_BAD_CARD))
    width = len(str(options.orders))
    buyers = tuple(
        BuyerPlan(f"buyer-{number:0{width}}", (number - 1) % options.nodes, number not in bad_cards)
        for number in numbers
    )
    sold = min(options.units, options.orders - len(bad_cards))
    kill_after = tuple(sold * kill // (options.kills + 1) for kill in range(1, options.kills + 1))
    return SalePlan(options, buyers, kill_after)
