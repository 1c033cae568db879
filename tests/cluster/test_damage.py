"""Damage keeps its node from starting, or stops it; one line names it and says what to do; the others serve."""

import asyncio
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.real_cluster import SMALL_MARGINS, client, eventually, leader_of, only
from support.wal_files import with_checksum

from lastunit_client import DeadlineError, UnavailableError
from lastunit_node import sqlite
from lastunit_node.cli import processes, program
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.server import FATAL_EXIT
from lastunit_node.wal.grow import PAGE_BYTES
from lastunit_node.wal.layout import FRAME_HEADER_BYTES, HEADER_BYTES
from lastunit_node.wal.scan import wal_of

MakeCluster = Callable[..., LocalCluster]
Damage = Callable[[Path], str]

FRAME = FRAME_HEADER_BYTES + PAGE_BYTES
PAGE = 4096  # of a state


def lastunit_node(cluster: LocalCluster, command: str, node: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the node's program to its end."""
    command_line = [sys.executable, "-m", "lastunit_node.main", command, "--config", str(cluster.config.path)]
    arguments = [*command_line, "--node", node, *options]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


async def place_orders(cluster: LocalCluster, prefix: str, count: int) -> None:
    async with client(cluster) as buyer:
        for number in range(count):
            result = await buyer.place_order({"vase": 1}, reservation_id=f"{prefix}-{number}")
            assert result.accepted


async def order_on(cluster: LocalCluster, *nodes: str) -> None:
    """Each of these nodes takes orders."""
    for node in nodes:
        async with only(cluster, node) as buyer:
            for number in range(5):
                assert (await buyer.place_order({"vase": 1}, reservation_id=f"after-{node}-{number}")).accepted


async def one_killed(make_cluster: MakeCluster) -> LocalCluster:
    """A cluster that has taken orders, and whose n1 was killed."""
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000}, receipt_id="delivery")
    await place_orders(cluster, "before", 40)
    async with only(cluster, "n1") as reader:
        await reader.get_stock("vase")  # its state has them all, and has committed them
    await asyncio.to_thread(cluster.kill, "n1")
    return cluster


def damage_an_entry(directory: Path) -> str:
    with closing(sqlite3.connect(directory / "journal.db")) as connection, connection:
        connection.execute("UPDATE entry SET bytes = zeroblob(length(bytes)) WHERE idx = 5")
    wal_of(directory / "journal.db").touch()  # it was moved into the file
    return "journal.db: entry 5 is damaged"


def damage_the_log_of_the_journal(directory: Path) -> str:
    return flip(
        wal_of(directory / "journal.db"), HEADER_BYTES + 9 * FRAME + 3_000, "journal.db-wal is damaged at frame 10"
    )


def damage_a_row(directory: Path) -> str:
    """A bit in the id of a reservation, which stands in the row and, else unharmed, in its index."""
    state = directory / "state.db"
    with closing(sqlite.connect(state)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = state.read_bytes()
    return flip(state, data.rindex(b"before-7"), "state.db is damaged")


def damage_the_applied_index(directory: Path) -> str:
    with closing(sqlite.connect(directory / "state.db")) as connection:
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
    await order_on(cluster, "n2", "n3")


def is_in_the_file(directory: Path, text: bytes) -> bool:
    """Whether a row came into the file of the state, and its -wal has no good pages that would be read instead."""
    state = directory / "state.db"
    with closing(sqlite.connect(state)) as connection:
        busy, _, _ = sqlite.only_row(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    return not busy and text in state.read_bytes()


def flip_everywhere(directory: Path, text: bytes, sign: Callable[[bytes], bytes]) -> None:
    """One bit wherever a text stands in the file of the state, in rows and indexes alike."""
    state = directory / "state.db"
    data = state.read_bytes()
    with state.open("r+b") as file:
        for start in range(0, len(data), PAGE):
            page = data[start : start + PAGE]
            if text in page:
                file.seek(start)
                file.write(sign(page.replace(text, text[:-1] + bytes([text[-1] ^ 4]))))


async def one_damaged(
    make_cluster: MakeCluster, sign: Callable[[bytes], bytes]
) -> tuple[LocalCluster, "subprocess.Popen[bytes]"]:
    """A cluster that has taken orders, and its n1, which runs, and one of whose orders went bad on disk."""
    cluster = await asyncio.to_thread(make_cluster)
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000}, receipt_id="delivery")
    await place_orders(cluster, "before", 40)
    directory = cluster.config.node_dir("n1")
    await eventually(lambda: is_in_the_file(directory, b"before-39"), "the last order is in the file")
    flip_everywhere(directory, b"before-7", sign)
    return cluster, processes._children[cluster.running()["n1"]]


async def stopped_with(cluster: LocalCluster, node: str, process: "subprocess.Popen[bytes]", problem: str) -> None:
    """The node ended by itself, its last words name the problem and what to do, and the others serve."""
    assert await asyncio.to_thread(process.wait, 10) == FATAL_EXIT
    last = cluster.log_tail(node).splitlines()[-1]
    assert re.search(problem, last), last
    assert re.search("leave (this node|it) stopped", last), last
    await eventually(lambda: cluster.leader() not in {None, node}, "another node leads")
    await order_on(cluster, *(each for each in cluster.nodes if each != node))


async def test_a_row_that_goes_bad_under_a_running_node_is_never_served(make_cluster: MakeCluster) -> None:
    cluster, process = await one_damaged(make_cluster, bytes)
    async with only(cluster, "n1") as reader:
        for name in ("before-7", "before-3"):
            with pytest.raises((UnavailableError, DeadlineError)):
                await reader.get_reservation(name, stale=True, timeout=1)
    await stopped_with(cluster, "n1", process, "the checksum of a page is not that of what is in it")
    ended = await asyncio.to_thread(lastunit_node, cluster, "run", "n1")
    assert ended.returncode == 2, "what was found while running is found at the next start"


async def test_who_looks_at_the_files_of_killed_nodes_does_no_harm(make_cluster: MakeCluster) -> None:
    cluster = await one_killed(make_cluster)
    for node in ("n2", "n3"):
        await asyncio.to_thread(cluster.kill, node)
    for node in cluster.nodes:
        with closing(sqlite3.connect(cluster.config.node_dir(node) / "state.db")) as connection:
            assert connection.execute("SELECT count(*) FROM reservations").fetchone()
    for node in cluster.nodes:
        await asyncio.to_thread(cluster.start, node)
    await order_on(cluster, *cluster.nodes)
    async with client(cluster) as reader:
        assert (await reader.get_reservation("before-39")).units


async def test_a_row_that_is_changed_under_a_running_node_is_found_by_verify(
    make_cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the right checksum: only the digest tells."""
    cluster, process = await one_damaged(make_cluster, with_checksum)
    verify = ["verify", "--json", "--config", str(cluster.config.path)]
    assert await asyncio.to_thread(program.run, verify) == 1
    found = {node["node"]: node["finding"] for node in json.loads(capsys.readouterr().out)["nodes"]}
    assert found == {"n1": "damaged", "n2": "good", "n3": "good"}
    await stopped_with(cluster, "n1", process, r"at index \d+ the rows of the state have the digest")
    ended = await asyncio.to_thread(lastunit_node, cluster, "run", "n1")
    assert ended.returncode == 2, "what was found while running is found at the next start"
    assert "leave this node stopped" in ended.stderr


async def test_an_entry_that_is_damaged_under_a_running_leader_is_not_sent(forgetful: LocalCluster) -> None:
    """A follower that comes back needs it from the leader's disk. The leader stops, the others have the entry."""
    cluster = forgetful
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 1_000}, receipt_id="delivery")
    await place_orders(cluster, "before", 40)
    leader = await leader_of(cluster)
    behind = next(node for node in cluster.nodes if node != leader)
    await asyncio.to_thread(cluster.kill, behind)
    await place_orders(cluster, "meanwhile", 30)
    process = processes._children[cluster.running()[leader]]
    with closing(sqlite3.connect(cluster.config.node_dir(leader) / "journal.db", isolation_level=None)) as journal:
        journal.execute(
            "UPDATE entry SET bytes = zeroblob(length(bytes)) WHERE idx = (SELECT max(idx) - 15 FROM entry)"
        )
    await asyncio.to_thread(cluster.start, behind, SMALL_MARGINS)
    await stopped_with(cluster, leader, process, r"journal\.db: entry \d+ is damaged")
    async with only(cluster, behind) as reader:
        assert (await reader.get_reservation("meanwhile-29")).units


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
