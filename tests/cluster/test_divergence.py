"""A node whose state is not that of the others is found and stops; the others go on. Damage by hand, on real nodes."""

import asyncio
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest
from support.real_cluster import assert_nodes_agree, client, eventually, is_down, leader_of, only

from lastunit_node.cli import processes, program
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.server import FATAL_EXIT
from lastunit_node.statemachine.hashing import HASH_BYTES, state_crc

MakeCluster = Callable[..., LocalCluster]


def change_row(cluster: LocalCluster, node: str, sku: str = "vase") -> None:
    """One unit more than was ever received."""
    with closing(sqlite3.connect(cluster.config.node_dir(node) / "state.db", isolation_level=None)) as state:
        changed = state.execute(
            "UPDATE stock SET received = received + 1, available = available + 1 WHERE sku = ?", (sku,)
        )
        assert changed.rowcount == 1


def forge_chain(cluster: LocalCluster, node: str) -> None:
    """Another history, under a checksum that fits it."""
    with closing(sqlite3.connect(cluster.config.node_dir(node) / "state.db", isolation_level=None)) as state:
        index, term, digest = state.execute("SELECT applied_index, applied_term, digest FROM state").fetchone()
        chain = bytes(HASH_BYTES)
        state.execute("UPDATE state SET chain = ?, crc = ?", (chain, state_crc(index, term, chain, digest)))


async def order_until(cluster: LocalCluster, condition: Callable[[], bool]) -> None:
    """Place orders, all of which succeed, until the condition holds."""
    async with client(cluster) as buyer, asyncio.timeout(15):
        while not await asyncio.to_thread(condition):
            result = await buyer.place_order({"vase": 1})
            assert result.accepted


async def follower_of(cluster: LocalCluster) -> str:
    leader = await leader_of(cluster)
    return next(node for node in cluster.nodes if node != leader)


async def deliver(cluster: LocalCluster) -> None:
    """Receive stock, and wait until every node has it in its file: it was acknowledged before."""
    async with client(cluster) as seller:
        received = await seller.receive_stock({"mug": 1_000, "vase": 100_000}, receipt_id="delivery")
    for node in cluster.nodes:
        async with only(cluster, node) as reader:
            await reader.get_stock("vase", stale=True, min_index=received.applied_index)


async def forget_rows(cluster: LocalCluster) -> None:
    """Start all nodes again: what is changed under a row that a node has in memory is overwritten, and does no harm."""
    await asyncio.to_thread(cluster.down)
    await asyncio.to_thread(cluster.up)


def process_of(cluster: LocalCluster, node: str) -> subprocess.Popen[bytes]:
    """A node's process, which was started from here; knows its exit status later."""
    return processes._children[cluster.running()[node]]


async def assert_stopped(cluster: LocalCluster, node: str, process: subprocess.Popen[bytes], said: str) -> None:
    """It ended with status 70 and said why; no other node did."""
    assert await asyncio.to_thread(process.wait, 5) == FATAL_EXIT
    assert re.search(said, cluster.log_tail(node)), cluster.log_tail(node)
    assert set(cluster.running()) == set(cluster.nodes) - {node}


DIVERGED = r"at index \d+ this node's state is not the majority's: chain \w{32} digest \w{32} here"


async def test_a_follower_whose_row_is_changed_stops_when_orders_touch_it(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    await deliver(cluster)
    await forget_rows(cluster)
    bad = await follower_of(cluster)
    process = process_of(cluster, bad)
    await asyncio.to_thread(change_row, cluster, bad)
    await order_until(cluster, partial(is_down, cluster, bad))
    await assert_stopped(cluster, bad, process, DIVERGED)
    async with client(cluster) as buyer:
        assert (await buyer.place_order({"vase": 1})).accepted


async def test_a_leader_whose_row_is_changed_stops_and_another_leads(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    await deliver(cluster)
    await forget_rows(cluster)
    bad = await leader_of(cluster)
    process = process_of(cluster, bad)
    await asyncio.to_thread(change_row, cluster, bad)
    await order_until(cluster, partial(is_down, cluster, bad))
    await assert_stopped(cluster, bad, process, DIVERGED)
    await leader_of(cluster, excluding=bad)
    async with client(cluster) as buyer:
        assert (await buyer.place_order({"vase": 1})).accepted


async def test_a_node_with_another_history_stops_after_it_is_started(make_cluster: MakeCluster) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    await deliver(cluster)
    bad = await follower_of(cluster)
    await asyncio.to_thread(cluster.stop, bad)
    await asyncio.to_thread(forge_chain, cluster, bad)
    for _ in range(2):
        await asyncio.to_thread(cluster.start, bad)
        process = process_of(cluster, bad)
        await order_until(cluster, partial(is_down, cluster, bad))
        await assert_stopped(cluster, bad, process, DIVERGED)


async def test_verify_finds_the_node_whose_rows_were_changed(
    make_cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = await asyncio.to_thread(make_cluster)
    await deliver(cluster)
    verify = ["verify", "--json", "--config", str(cluster.config.path)]
    assert await asyncio.to_thread(program.run, verify) == 0
    assert {node["finding"] for node in json.loads(capsys.readouterr().out)["nodes"]} == {"good"}
    await assert_nodes_agree(cluster)
    bad = await follower_of(cluster)
    process = process_of(cluster, bad)
    await asyncio.to_thread(change_row, cluster, bad, "mug")
    assert await asyncio.to_thread(program.run, verify) == 1
    printed = capsys.readouterr()
    found = {node["node"]: node["finding"] for node in json.loads(printed.out)["nodes"]}
    assert found == {node: "damaged" if node == bad else "good" for node in cluster.nodes}
    assert f"{bad}: rows of its state were changed" in printed.err
    await eventually(partial(is_down, cluster, bad), "the damaged node stops")
    await assert_stopped(cluster, bad, process, r"at index \d+ the rows of the state have the digest \w{32}")
