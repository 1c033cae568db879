"""A node that lost its disk comes back, with real processes: the others go on, and it counts again in the end."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.conftest import MakeCluster
from support.real_cluster import assert_nodes_agree, client, eventually, leader_of, reservations_on

from lastunit_node.cli.data_directories import DataDirectories
from lastunit_node.cli.errors import LocalClusterError
from lastunit_node.cli.local_cluster import NODE_PROGRAM, LocalCluster
from lastunit_node.replica import timing


class Buyers:
    """Orders that never stop, and what was acknowledged."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.acknowledged: set[str] = set()
        self._tasks = [asyncio.create_task(self._buy(number)) for number in range(3)]

    async def _buy(self, number: int) -> None:
        async with client(self._cluster, first=number) as buyer:
            for order in range(100_000):
                result = await buyer.place_order({"vase": 1}, reservation_id=f"o-{number}-{order}")
                assert result.accepted
                self.acknowledged.add(result.request_id)

    async def more(self, count: int) -> None:
        """Return when so many more are acknowledged."""
        goal = len(self.acknowledged) + count
        await eventually(lambda: len(self.acknowledged) >= goal, "orders go on")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def buyers_of(cluster: LocalCluster) -> Buyers:
    async with client(cluster) as seller:
        await seller.receive_stock({"vase": 500_000}, receipt_id="delivery")
    buyers = Buyers(cluster)
    await buyers.more(100)
    return buyers


async def rejoin(cluster: LocalCluster, node: str) -> tuple[int, str]:
    """`lastunit rejoin NODE`: its exit status, and what it said."""
    program = str(Path(sys.executable).with_name("lastunit"))
    command = [program, "rejoin", node, "--config", str(cluster.config.path)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


async def lose(cluster: LocalCluster, node: str) -> Path:
    """kill -9, and the disk is gone; where it was."""
    await asyncio.to_thread(cluster.kill, node)
    path = cluster.config.node_dir(node)
    shutil.rmtree(path)
    return path


@pytest.mark.parametrize("role", ["leader", "follower"])
async def test_a_node_that_lost_its_disk_rejoins_while_the_others_serve(make_cluster: MakeCluster, role: str) -> None:
    cluster = make_cluster()
    buyers = await buyers_of(cluster)
    leader = await leader_of(cluster)
    lost = leader if role == "leader" else next(node for node in cluster.nodes if node != leader)
    await lose(cluster, lost)
    with pytest.raises(LocalClusterError, match=f"lastunit rejoin {lost}"):
        await asyncio.to_thread(cluster.start, lost)
    await buyers.more(300)
    status, said = await rejoin(cluster, lost)
    assert status == 0, said
    await buyers.more(100)
    statuses = await asyncio.to_thread(cluster.statuses)
    assert all(status.is_admitted for status in statuses.values()), statuses

    leader = await leader_of(cluster)
    other = next(node for node in cluster.nodes if node not in {lost, leader})
    await asyncio.to_thread(cluster.kill, other)
    await buyers.more(100)  # the new disk counts
    await asyncio.to_thread(cluster.start, other)
    await buyers.stop()
    await asyncio.to_thread(cluster.wait_serving)
    await assert_nodes_agree(cluster)
    found = await reservations_on(cluster, lost)
    assert buyers.acknowledged <= set(found)


async def test_an_old_directory_that_is_put_back_counts_only_once_it_is_admitted_again(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster()
    buyers = await buyers_of(cluster)
    leader = await leader_of(cluster)
    node = next(node for node in cluster.nodes if node != leader)
    await asyncio.to_thread(cluster.kill, node)
    path = cluster.config.node_dir(node)
    shutil.copytree(path, tmp_path / "old")
    status, said = await rejoin(cluster, node)
    assert status == 0, said
    assert f"{node}.old-1" in said
    assert path.with_name(f"{node}.old-1").is_dir()
    await buyers.more(100)
    await asyncio.to_thread(cluster.kill, node)
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "old", path)
    await asyncio.to_thread(cluster.start, node)
    await asyncio.to_thread(cluster.wait_admitted, node, 15.0)
    await buyers.more(100)
    await buyers.stop()
    await assert_nodes_agree(cluster)


async def test_a_disk_made_as_a_founders_by_mistake_is_admitted_like_any_new_one(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    buyers = await buyers_of(cluster)
    leader = await leader_of(cluster)
    node = next(node for node in cluster.nodes if node != leader)
    async with client(cluster) as reader:
        assert (await reader.get_stock("vase")).received == 500_000
    await lose(cluster, node)
    other = cluster.config.node_dir(leader) / "identity.json"
    cluster_id = other.read_text().split('"cluster_id": "')[1].split('"')[0]
    DataDirectories(cluster.config, NODE_PROGRAM)._format_node(node, cluster_id)
    await asyncio.to_thread(cluster.start, node)
    await asyncio.to_thread(cluster.wait_admitted, node, 15.0)
    await asyncio.to_thread(cluster.wait_serving)
    await buyers.more(100)
    await buyers.stop()
    await assert_nodes_agree(cluster)


async def test_two_wiped_of_three_elect_nobody(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    leader = await leader_of(cluster)
    for node in cluster.nodes:
        await asyncio.to_thread(cluster.kill, node)
    lost = [node for node in cluster.nodes if node != leader]
    for node in lost:
        shutil.rmtree(cluster.config.node_dir(node))
    with pytest.raises(LocalClusterError, match="too few are left"):
        await asyncio.to_thread(cluster.start, lost[0])
    for node in lost:
        cluster.data.rejoin(node)
    for node in cluster.nodes:
        await asyncio.to_thread(cluster.start, node)
    await eventually(lambda: None not in {status.term for status in cluster.statuses().values()}, "all nodes answer")
    await asyncio.sleep(4 * timing.ELECTION_MAX)
    statuses = (await asyncio.to_thread(cluster.statuses)).values()
    assert {status.node: status.is_admitted for status in statuses} == {node: node == leader for node in cluster.nodes}
    assert {status.leader for status in statuses} == {None}


async def test_rejoin_is_refused_while_the_node_runs(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    status, said = await rejoin(cluster, "n1")
    assert status != 0
    assert "n1 runs" in said
    assert not cluster.config.node_dir("n1").with_name("n1.old-1").exists()


async def test_no_majority_of_good_disks_is_put_aside(make_cluster: MakeCluster) -> None:
    """One after the other, of a cluster that is down: no leader could be elected ever after."""
    cluster = make_cluster()
    await asyncio.to_thread(cluster.down)
    status, said = await rejoin(cluster, "n1")
    assert status == 0, said
    assert "catches up once the others run" in said
    for _ in range(2):  # while n1 runs, and after it was killed
        status, said = await rejoin(cluster, "n2")
        assert (status, "the disk of n2 is needed" in said, "that of n1 is new" in said) == (1, True, True), said
        assert not cluster.config.node_dir("n2").with_name("n2.old-1").exists()
        if cluster.running():
            await asyncio.to_thread(cluster.kill, "n1")
    for node in cluster.nodes:
        await asyncio.to_thread(cluster.start, node)
    await asyncio.to_thread(cluster.wait_admitted, "n1", 15.0)
    await asyncio.to_thread(cluster.wait_serving)
    await asyncio.to_thread(cluster.kill, "n2")
    status, said = await rejoin(cluster, "n2")
    assert status == 0, said
    await assert_nodes_agree(cluster)
