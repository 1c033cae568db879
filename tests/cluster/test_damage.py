"""A damaged file keeps its node from starting, with one line that names it and says what to do; the others serve."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.real_cluster import client

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.wal.layout import FRAME_HEADER_BYTES, HEADER_BYTES
from lastunit_node.wal.scan import wal_of

MakeCluster = Callable[..., LocalCluster]
Damage = Callable[[Path], str]

FRAME = FRAME_HEADER_BYTES + 4096


def lastunit_node(cluster: LocalCluster, command: str, node: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the node's program to its end."""
    program = [sys.executable, "-m", "lastunit_node.main", command, "--config", str(cluster.config.path)]
    arguments = [*program, "--node", node, *options]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


async def place_orders(cluster: LocalCluster, prefix: str, count: int) -> None:
    async with client(cluster) as buyer:
        for number in range(count):
            result = await buyer.place_order({"vase": 1}, reservation_id=f"{prefix}-{number}")
            assert result.accepted


async def one_killed(make_cluster: MakeCluster) -> LocalCluster:
    """A cluster that has taken orders, and whose n1 was killed."""
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000}, receipt_id="delivery")
    await place_orders(cluster, "before", 40)
    await asyncio.to_thread(cluster.kill, "n1")
    return cluster


def damage_an_entry(directory: Path) -> str:
    with closing(sqlite3.connect(directory / "journal.db")) as connection, connection:
        connection.execute("UPDATE entry SET bytes = zeroblob(length(bytes)) WHERE idx = 5")
    return "journal.db: entry 5 is damaged"


def damage_the_log_of_the_journal(directory: Path) -> str:
    return flip(
        wal_of(directory / "journal.db"), HEADER_BYTES + 9 * FRAME + 3_000, "journal.db-wal is damaged at frame 10"
    )


def damage_a_row(directory: Path) -> str:
    """A bit in the id of a reservation, which stands in the row and, else unharmed, in its index."""
    state = directory / "state.db"
    with closing(sqlite3.connect(state)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = state.read_bytes()
    return flip(state, data.rindex(b"before-7"), "state.db is damaged")


def damage_the_applied_index(directory: Path) -> str:
    with closing(sqlite3.connect(directory / "state.db")) as connection, connection:
        connection.execute("UPDATE state SET applied_index = applied_index - 1")
    return "state.db is damaged: its row of applied index"


def flip(file: Path, position: int, message: str) -> str:
    data = bytearray(file.read_bytes())
    data[position] ^= 4
    file.write_bytes(data)
    return message


@pytest.mark.parametrize(
    "damage", [damage_an_entry, damage_the_log_of_the_journal, damage_a_row, damage_the_applied_index]
)
async def test_damage_is_refused_and_the_others_go_on(make_cluster: MakeCluster, damage: Damage) -> None:
    cluster = await one_killed(make_cluster)
    expected = damage(cluster.config.node_dir("n1"))
    ended = await asyncio.to_thread(lastunit_node, cluster, "run", "n1")
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("timestamp=")]
    assert ended.returncode == 2, ended.stderr
    assert len(lines) == 1, ended.stderr
    assert expected in lines[0]
    assert "leave this node stopped" in lines[0]
    found = await asyncio.to_thread(lastunit_node, cluster, "verify", "n1")
    assert found.returncode == 1
    assert expected in found.stdout
    await place_orders(cluster, "after", 5)


async def test_verify_looks_at_a_killed_node_and_changes_nothing(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster = await one_killed(make_cluster)
    directory = cluster.config.node_dir("n1")
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    found = await asyncio.to_thread(lastunit_node, cluster, "verify", "n1", "--json")
    answer = json.loads(found.stdout)
    assert (found.returncode, answer["whole"], answer["node"]) == (0, True, "n1")
    assert answer["parts"]["journal"]["last_index"] >= answer["parts"]["state"]["applied_index"] > 40
    for file in directory.glob("*.db*"):
        if not file.name.endswith("-shm"):
            assert file.read_bytes() == (copy / file.name).read_bytes(), file
    in_use = await asyncio.to_thread(lastunit_node, cluster, "verify", "n2")
    assert in_use.returncode == 2
    assert "in use" in in_use.stderr
