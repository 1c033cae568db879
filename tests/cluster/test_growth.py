"""A state that was loaded offline (tests/benchmarks/growth) is one that real nodes start from, agree on, and serve."""

import json
from pathlib import Path

import pytest
from benchmarks.growth.loader import LOADED, STATE, Loaded, lay_out, load, sku_name
from support.real_cluster import assert_nodes_agree, client, kill_all, write_config

from lastunit_client import Outcome
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.config import load_cluster
from lastunit_node.server import configure_command

SKUS = 50
RESERVATIONS = 1_250


def ignore(_line: str) -> None:
    pass


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    """Not started, without data."""
    return LocalCluster(load_cluster(write_config(tmp_path)))


def make(cluster: LocalCluster, folder: Path) -> Loaded:
    return load(folder, configure_command(cluster.config), SKUS, RESERVATIONS, ignore)


async def test_three_nodes_start_from_a_loaded_state_and_serve_it(cluster: LocalCluster, tmp_path: Path) -> None:
    loaded = make(cluster, tmp_path / "made")
    lay_out(cluster.config, tmp_path / "made", loaded, ignore)
    try:
        cluster.up()
        async with client(cluster) as buyer:
            order = await buyer.place_order({sku_name(SKUS - 1): 1})
            level = await buyer.get_stock(sku_name(SKUS - 1))
            levels = [level async for level in buyer.list_stock()]
            reservations = [each async for each in buyer.list_reservations(page_size=1_000)]
        assert order.outcome is Outcome.ORDER_PLACED
        assert order.result_index > loaded.applied_index
        assert level.sold == RESERVATIONS // SKUS + 1
        assert len(levels) == SKUS
        assert len(reservations) == RESERVATIONS + 1
        await assert_nodes_agree(cluster)
    finally:
        kill_all(cluster)


def test_a_kept_state_is_used_again_and_never_taken_for_another(cluster: LocalCluster, tmp_path: Path) -> None:
    loaded = make(cluster, tmp_path)
    made = (tmp_path / STATE).read_bytes()
    assert make(cluster, tmp_path) == loaded
    assert (tmp_path / STATE).read_bytes() == made
    with pytest.raises(ValueError, match="holds a state of 50 skus"):
        load(tmp_path, configure_command(cluster.config), SKUS + 1, RESERVATIONS, ignore)


def test_a_state_that_was_not_finished_is_made_again(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"half of it")
    loaded = make(cluster, tmp_path)
    assert json.loads((tmp_path / LOADED).read_text())["applied_index"] == loaded.applied_index
