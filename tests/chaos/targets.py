"""What failover.py measures: lastunit, and others by the same loop."""

from typing import NamedTuple, Protocol


class Leader(NamedTuple):
    """Who leads, in which term."""

    node: str
    term: int


class Target(Protocol):
    """A cluster under measurement."""

    nodes: tuple[str, ...]

    async def write(self, node: str) -> int | None:
        """Have one small thing committed through this node: in which term; None when that failed."""
        ...

    async def leader(self) -> Leader | None:
        """Who leads, once every node is well; else None."""
        ...

    async def kill(self, node: str) -> None:
        """SIGKILL."""
        ...

    async def start(self, node: str) -> None:
        """Start it again."""
        ...
