"""How a bug is planted: a small change to the real code, made in the process of a seed."""

from collections.abc import Callable
from typing import Any, NamedTuple


class CannotPlant(Exception):
    """The code has changed under a bug: it is to be planted anew, and was neither found nor missed."""


class Mutant(NamedTuple):
    """A bug: what it is, how it is planted, in how many nodes, and within how many seeds it is to be found."""

    name: str
    plant: Callable[[], None]
    nodes: int
    bound: int


MUTANTS: list[Mutant] = []


def mutant(name: str, nodes: int = 3, bound: int = 60) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(plant: Callable[[], None]) -> Callable[[], None]:
        MUTANTS.append(Mutant(name, plant, nodes, bound))
        return plant

    return register


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put make(original) in the place of an attribute."""
    setattr(owner, name, make(getattr(owner, name)))
