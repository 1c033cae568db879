"""A cluster file, and the data directory of its node n1 with some orders in it, stopped."""

from pathlib import Path

import pytest
from support.real_cluster import CLUSTER_ID, write_config

from lastunit_node.config import ClusterConfig, load_cluster
from lastunit_node.datadir import DataDirectory, format_directory
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Command,
    Configure,
    Entry,
    Line,
    PlaceOrder,
    ReceiveStock,
    Reserve,
    UnitRange,
)
from lastunit_node.statemachine.machine import StateMachine

COMMANDS: tuple[Command, ...] = (
    Configure(100, 6_000, 36_000, 864_000, 100),
    ReceiveStock("delivery", (Line("vase", 50), Line("lamp", 50))),
    *(PlaceOrder(f"order-{number}", (Line("vase", 1),)) for number in range(20)),
    Reserve("hold-1", (Line("lamp", 2), Line("vase", 1)), 0),
    AdjustStock("broken", "vase", 0, (UnitRange(30, 31),), "fell"),
)


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    found = load_cluster(write_config(tmp_path))
    path = found.node_dir("n1")
    format_directory(path, found.cluster, CLUSTER_ID, found.nodes, "n1")
    fill(DataDirectory(path, found.cluster, found.nodes, "n1"))
    return found


@pytest.fixture
def path(config: ClusterConfig) -> Path:
    """The data directory."""
    return config.node_dir("n1")


def fill(directory: DataDirectory) -> None:
    """One entry per command, in the journal and applied."""
    journal = directory.open_journal()
    connection = directory.open_state()
    machine = StateMachine(connection)
    journal.setCurrentTerm(3, "n1")
    for index, command in enumerate(COMMANDS, 1):
        entry = encode_entry(Entry(0, 1 << 40, (command,)))
        journal.add(entry, index, 3)
        machine.apply(index, 3, entry)
    journal.close()
    machine.commit()
    connection.close()
    directory.close()
