"""A node that is too far behind for the leader's log fetches a copy of its state, and follows from there."""

import asyncio

from support.real_cluster import SMALL_MARGINS, assert_nodes_agree, client, first_index, leader_of

from lastunit_node.cli.local_cluster import LocalCluster


async def place_orders(cluster: LocalCluster, prefix: str, count: int) -> None:
    """One entry after the other."""
    async with client(cluster) as buyer:
        for number in range(count):
            assert (await buyer.place_order({"vase": 1}, reservation_id=f"{prefix}-{number}")).accepted


async def test_a_node_too_far_behind_comes_back_through_a_copy(forgetful: LocalCluster) -> None:
    cluster = forgetful
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 10_000}, receipt_id="delivery")
    leader = await leader_of(cluster)
    behind = next(node for node in cluster.nodes if node != leader)
    await place_orders(cluster, "before", 10)
    await asyncio.to_thread(cluster.kill, behind)
    await place_orders(cluster, "meanwhile", 200)
    pid = await asyncio.to_thread(cluster.start, behind, SMALL_MARGINS)
    await asyncio.to_thread(cluster.wait_serving, 20.0)
    log = cluster.log_tail(behind, 100)
    assert "too far behind for the leader's log" in log
    assert "a copy of the state arrived" in log
    assert cluster.running()[behind] == pid, "it started again from the copy under the same PID"
    await place_orders(cluster, "after", 10)
    await assert_nodes_agree(cluster)
    files = {path.name for path in cluster.config.node_dir(behind).iterdir()}
    assert not any(name.startswith(("state.db", "copy-")) for name in files), files
    await asyncio.to_thread(cluster.down)
    assert all(first_index(cluster, node) > 100 for node in cluster.nodes), "every journal was trimmed"
