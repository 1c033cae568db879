"""A large state, made without a cluster: the state machine itself applies the entries, and nodes then start from it.

Through the API five million orders would take three nodes, a journal and a network; here one process applies them as
every node would, so hashes and rows are those of a cluster that took these orders, in entries of ORDERS_PER_ENTRY.
Reservations are confirmed orders of one unit each, spread over all skus; their ids are random like those that clients
make (uuid4), but the same in every run. What is made is a folder of two files, to be given to any number of clusters:

    state.db        the state database, of no node yet
    loaded.json     Loaded, written last: without it the folder is not whole
"""

import itertools
import json
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import DataDirectory, format_directory
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Command, Configure, Entry, Line, PlaceOrder, ReceiveStock
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Outcome

Tell = Callable[[str], None]

STATE: Final = "state.db"
LOADED: Final = "loaded.json"
NOBODY: Final = "loaded"  # the name of a node that a state has until it is given to one
TERM: Final = 1
SPARE: Final = 10_000  # units of every sku beyond those that are ordered
ORDERS_PER_ENTRY: Final = 1_000
LINES_PER_RECEIPT: Final = 100
RECEIPTS_PER_ENTRY: Final = 10
COMMIT_ENTRIES: Final = 500
CACHE_KIB: Final = 512 * 1024  # random ids touch every page again and again
TELL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state that was made. Sizes in bytes of the database, without its -wal; seconds of the loading."""

    skus: int
    reservations: int
    cluster_id: str
    applied_index: int
    bytes_of_stock: int  # before the first order
    bytes_of_all: int
    seconds: float


def sku_name(number: int) -> str:
    """The name of a sku."""
    return f"sku-{number:07}"


def load(folder: Path, configure: Configure, skus: int, reservations: int, tell: Tell) -> Loaded:
    """Make the state in a folder, or find it there from an earlier run of the same size."""
    if (folder / LOADED).is_file():
        found = Loaded(**json.loads((folder / LOADED).read_text(encoding="utf-8")))
        if (found.skus, found.reservations) == (skus, reservations):
            tell(f"using the state of {reservations:,} reservations in {folder}")
            return found
        raise ValueError(f"{folder} holds a state of {found.skus:,} skus and {found.reservations:,} reservations")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE).unlink(missing_ok=True)
    loaded = make(folder / STATE, configure, skus, reservations, tell)
    (folder / LOADED).write_text(json.dumps(asdict(loaded), indent=2) + "\n", encoding="utf-8")
    return loaded


def make(file: Path, configure: Configure, skus: int, reservations: int, tell: Tell) -> Loaded:
    """Apply everything."""
    cluster_id, begin = str(uuid.uuid4()), time.perf_counter()
    with closing(open_state(file, identity=Identity(cluster_id, NOBODY))) as connection:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA synchronous = OFF")  # a state that is lost is made again
        writer = Writer(connection)
        writer.apply((configure,))
        tell(f"loading: {skus:,} skus")
        for receipts in stock(skus, reservations // skus + 1 + SPARE):
            writer.apply(receipts)
        bytes_of_stock = writer.settle()
        writer.apply_all(orders(skus, reservations), f"of {reservations:,} reservations", tell)
        return Loaded(
            skus=skus,
            reservations=reservations,
            cluster_id=cluster_id,
            applied_index=writer.machine.applied_index,
            bytes_of_stock=bytes_of_stock,
            bytes_of_all=writer.settle(),
            seconds=round(time.perf_counter() - begin, 1),
        )


def stock(skus: int, quantity: int) -> Iterator[tuple[Command, ...]]:
    """Entries that receive so many units of every sku."""
    numbers = iter(range(skus))
    receipt_ids = (f"loaded-{number}" for number in itertools.count())
    while receipts := [
        ReceiveStock(next(receipt_ids), lines)
        for _ in range(RECEIPTS_PER_ENTRY)
        if (lines := tuple(Line(sku_name(number), quantity) for number in itertools.islice(numbers, LINES_PER_RECEIPT)))
    ]:
        yield tuple(receipts)


def orders(skus: int, reservations: int) -> Iterator[tuple[Command, ...]]:
    """Entries of orders of one unit. Those of one sku follow each other: its rows are then written once for all."""
    bits = random.Random(reservations).getrandbits
    for first in range(0, reservations, ORDERS_PER_ENTRY):
        yield tuple(
            PlaceOrder(str(uuid.UUID(int=bits(128), version=4)), (Line(sku_name(number * skus // reservations), 1),))
            for number in range(first, min(first + ORDERS_PER_ENTRY, reservations))
        )


class Writer:
    """Applies entries to a new state, one after the other; every command must be accepted."""

    def __init__(self, connection: sqlite.Connection) -> None:
        self.machine = StateMachine(connection)
        self._connection = connection

    def apply(self, commands: tuple[Command, ...]) -> None:
        """The next entry."""
        index = self.machine.applied_index + 1
        applied = self.machine.apply(index, TERM, encode_entry(Entry(index, 0, commands)))
        refused = [result for result in applied.results if result.outcome >= Outcome.OUT_OF_STOCK]
        assert not refused, refused[0]
        if index % COMMIT_ENTRIES == 0:
            self.machine.commit()

    def apply_all(self, entries: Iterator[tuple[Command, ...]], goal: str, tell: Tell) -> None:
        """Many entries, saying how far it is."""
        done, begin, told = 0, time.perf_counter(), time.perf_counter()
        for commands in entries:
            self.apply(commands)
            done += len(commands)
            now = time.perf_counter()
            if now - told >= TELL_SECONDS:
                tell(f"loading: {done:,} {goal}, {done / (now - begin):,.0f}/s")
                told = now

    def settle(self) -> int:
        """Commit, and move everything out of the -wal; the bytes of the database."""
        self.machine.commit()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = sqlite.only_row(
            self._connection, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
        return int(size)


def lay_out(config: ClusterConfig, folder: Path, loaded: Loaded, tell: Tell) -> None:
    """Give every node of a cluster that has no data a directory with this state, and a journal that continues it."""
    for node in config.nodes:
        tell(f"copying {loaded.bytes_of_all / 1e6:,.0f} MB of state for {node}")
        path = config.node_dir(node)
        format_directory(path, config.cluster, loaded.cluster_id, config.nodes, node)
        directory = DataDirectory(path, config.cluster, config.nodes, node)
        try:
            state = directory.copied_state(loaded.applied_index)
            shutil.copyfile(folder / STATE, state)
            sign(state, node)
            continue_from(directory, state, loaded)
        finally:
            directory.close()


def sign(state: Path, node: str) -> None:
    """Make a state the node's own: its identity is in no hash."""
    with closing(sqlite.connect(state)) as connection:
        connection.execute("UPDATE identity SET node = ?", (node,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def continue_from(directory: DataDirectory, state: Path, loaded: Loaded) -> None:
    """Let the journal's sentinel stand for all that the state has applied."""
    with closing(directory.open_journal()) as journal:
        journal.setCurrentTerm(TERM, None)
        journal.install(state.name, loaded.applied_index, TERM)
