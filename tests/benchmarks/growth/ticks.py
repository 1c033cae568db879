"""What single entries cost while very many holds are due, on the large state, without a cluster around it.

Every entry expires up to sweep_size holds before its own commands, fewer of those that have many ranges, so this is how
long one keeps a node's thread.
"""

import statistics
import time
import uuid
from contextlib import closing
from typing import Any, Final

from benchmarks.growth.loader import ORDERS_PER_ENTRY, TERM, Tell
from lastunit_node import sqlite
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.datadir import DataDirectory
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Entry, Line, ReceiveStock, Reserve, Tick
from lastunit_node.statemachine.database import open_state
from lastunit_node.statemachine.limits import MAX_LINES, MAX_TICK
from lastunit_node.statemachine.machine import StateMachine

HELD: Final = ("held",)
BASKET: Final = tuple([f"held-{number}" for number in range(MAX_LINES)])
COMMIT_ENTRIES: Final = 10


class Sweep:
    """A state machine whose holds all expire at one tick."""

    def __init__(self, connection: sqlite.Connection) -> None:
        self.machine = StateMachine(connection)

    def apply(self, *commands: Command) -> float:
        """Apply one entry; seconds without the COMMIT, which many entries share."""
        index = self.machine.applied_index + 1
        entry = encode_entry(Entry(index, MAX_TICK, commands))
        begin = time.perf_counter()
        self.machine.apply(index, TERM, entry)
        seconds = time.perf_counter() - begin
        if index % COMMIT_ENTRIES == 0:
            self.machine.commit()
        return seconds

    def hold(self, count: int, skus: tuple[str, ...]) -> None:
        """Holds of one unit of each of these skus, that the next two ticks make due."""
        self.apply(ReceiveStock(str(uuid.uuid4()), tuple([Line(sku, count) for sku in skus])))
        lines, at_once = tuple([Line(sku, 1) for sku in skus]), max(1, ORDERS_PER_ENTRY // len(skus))
        for first in range(0, count, at_once):
            self.apply(*(Reserve(str(uuid.uuid4()), lines, 1) for _ in range(min(at_once, count - first))))

    def expire(self) -> list[float]:
        """Seconds of each tick from the one that makes the holds due to the one that expires the last of them."""
        self.apply(Tick(self.machine.clock))
        took, due = [], self.machine.clock + 1
        while self.machine.clock <= due:
            took.append(self.apply(Tick(self.machine.clock)))
        return took


def sweep_offline(cluster: LocalCluster, node: str, holds: int, tell: Tell) -> dict[str, Any]:
    """Make the holds due on the state of a node that is down for good, and time every tick until none is left."""
    tell(f"{holds:,} holds on the large state, without a cluster")
    directory = DataDirectory(cluster.config.node_dir(node), cluster.config.cluster, cluster.nodes, node)
    directory.open_journal(read_only=True).close()
    with closing(open_state(directory.state_path, identity=directory.state_identity)) as connection:
        sweep = Sweep(connection)
        sweep.hold(holds, HELD)
        took = sweep.expire()
        tell(f"{max(1, holds // MAX_LINES):,} of {MAX_LINES} skus each")
        sweep.hold(max(1, holds // MAX_LINES), BASKET)
        took_baskets = sweep.expire()
        sweep.machine.commit()
    directory.close()
    return {
        "holds": holds,
        "ticks": len(took),
        "median_ms": round(statistics.median(took) * 1e3, 2),
        "longest_ms": round(max(took) * 1e3, 2),
        "us_per_hold": round(sum(took) / holds * 1e6, 1),
        f"longest_of_{MAX_LINES}_skus_ms": round(max(took_baskets) * 1e3, 2),
    }
