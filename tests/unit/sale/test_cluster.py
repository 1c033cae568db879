"""The throw-away cluster: its file, its ports, and that nothing is left of it, however the sale ends."""

import asyncio
import socket
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from lastunit_node.cli.errors import LocalClusterError, NodeFaultError
from lastunit_node.cli.node_status import NodeStatus
from lastunit_node.cli.processes import ProcessState
from lastunit_node.cli.sale import cluster
from lastunit_node.cli.sale.chaos import Leader
from lastunit_node.cli.sale.cluster import SaleCluster, free_ports, throwaway_cluster, write_cluster_file
from lastunit_node.cli.sale.faults import SaleFault
from lastunit_node.config import ClusterConfig, load_cluster


class FakeLocal:
    """A LocalCluster without processes."""

    made: list["FakeLocal"] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.nodes = tuple(config.nodes)
        self.up: dict[str, int] = {}
        self.answers: list[list[NodeStatus]] = []
        self.dies_by_itself = ""
        FakeLocal.made.append(self)

    def format(self) -> None:
        self.config.data_dir.mkdir()

    def start(self, node: str) -> int:
        self.up[node] = 4711
        return 4711

    def wait_serving(self, timeout_s: float, nodes: list[str] | None = None) -> None:
        assert self.up

    def running(self) -> dict[str, int]:
        return dict(self.up)

    def kill(self, node: str) -> None:
        del self.up[node]
        if node == self.dies_by_itself:
            raise LocalClusterError(f"{node} is not running")

    def statuses(self) -> dict[str, NodeStatus]:
        answers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {status.node: status for status in answers}

    def status(self, node: str) -> NodeStatus:
        return self.statuses()[node]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> type[FakeLocal]:
    monkeypatch.setattr(cluster, "LocalCluster", FakeLocal)
    FakeLocal.made.clear()
    return FakeLocal


@pytest.fixture
def sale_cluster(local: type[FakeLocal], tmp_path: Path) -> SaleCluster:
    return SaleCluster(FakeLocal(load_cluster(write_cluster_file(tmp_path, 3))))  # type: ignore[arg-type]


def status(node: str, role: str, term: int, has_quorum: bool = True, index: int = 9) -> NodeStatus:
    return NodeStatus(
        node,
        ProcessState.RUNNING,
        4711,
        role=role,
        term=term,
        has_quorum=has_quorum,
        commit_index=index,
        applied_index=index,
        clock=index,
    )


@pytest.mark.parametrize("nodes", [3, 5])
def test_the_file_is_a_good_cluster_file(tmp_path: Path, nodes: int) -> None:
    config = load_cluster(write_cluster_file(tmp_path, nodes))

    assert list(config.nodes) == [f"n{number}" for number in range(1, nodes + 1)]
    assert config.data_dir == (tmp_path / "data").resolve()


def test_ports_are_free_and_no_outgoing_connection_can_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(cluster, "PORTS", range(port, port + 1))
        assert list(free_ports()) == []


def test_two_sales_have_different_ports() -> None:
    assert list(islice(free_ports(), 6)) != list(islice(free_ports(), 6))


async def test_nothing_is_left_after_a_sale(local: type[FakeLocal]) -> None:
    async with throwaway_cluster(3) as sale:
        folder = local.made[0].config.path.parent
        assert sale.names == ("n1", "n2", "n3")
        assert list(local.made[0].up) == ["n1", "n2", "n3"]
        assert folder.is_dir()

    assert local.made[0].up == {}
    assert not folder.exists()


async def test_nothing_is_left_after_a_failure(local: type[FakeLocal]) -> None:
    async def fail() -> None:
        async with throwaway_cluster(3):
            local.made[0].dies_by_itself = "n1"
            raise SaleFault("no")

    with pytest.raises(SaleFault):
        await fail()

    assert local.made[0].up == {}
    assert not local.made[0].config.path.exists()


async def test_a_log_that_is_gone_is_not_named(local: type[FakeLocal], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: FakeLocal, timeout_s: float) -> None:
        raise NodeFaultError("n1 ended before it served", "its last words", self.config.node_dir("n1") / "node.log")

    async def hold() -> None:
        async with throwaway_cluster(3):
            pytest.fail("it does not serve")

    monkeypatch.setattr(FakeLocal, "wait_serving", fail)
    with pytest.raises(NodeFaultError) as caught:
        await hold()
    assert (str(caught.value), caught.value.log_tail) == ("n1 ended before it served", "its last words")


async def test_stopped_while_starting_waits_for_the_nodes_to_kill_them(
    local: type[FakeLocal], monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, may_start = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow_format(self: FakeLocal) -> None:
        loop.call_soon_threadsafe(starting.set)
        asyncio.run_coroutine_threadsafe(may_start.wait(), loop).result()

    async def bring_up() -> None:
        async with throwaway_cluster(3):
            pytest.fail("it was stopped before")

    monkeypatch.setattr(FakeLocal, "format", slow_format)
    sale = asyncio.create_task(bring_up())
    await starting.wait()
    sale.cancel()
    await asyncio.sleep(0)
    may_start.set()

    with pytest.raises(asyncio.CancelledError):
        await sale
    assert local.made[0].up == {}


async def test_the_leader_is_the_one_with_a_quorum_in_a_later_term(
    sale_cluster: SaleCluster, local: type[FakeLocal]
) -> None:
    local.made[0].answers = [
        [status("n1", "leader", 1), status("n2", "follower", 1)],
        [status("n1", "leader", 1), status("n2", "leader", 2, has_quorum=False)],
        [status("n1", "leader", 1), status("n2", "leader", 2)],
    ]

    assert await sale_cluster.leader(after_term=1) == Leader("n2", 2)
    assert sale_cluster.terms == (2,)


async def test_terms_are_noted_once(sale_cluster: SaleCluster, local: type[FakeLocal]) -> None:
    local.made[0].answers = [[status("n1", "leader", 1)], [status("n1", "leader", 1)], [status("n2", "leader", 4)]]

    for _ in range(3):
        await sale_cluster.leader()

    assert sale_cluster.terms == (1, 4)


async def test_no_leader_in_time(
    sale_cluster: SaleCluster, local: type[FakeLocal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LIMIT_SECONDS", 0.05)
    local.made[0].answers = [[status("n1", "candidate", 1)]]

    with pytest.raises(SaleFault, match="no leader was elected"):
        await sale_cluster.leader()


async def test_a_started_node_has_caught_up(sale_cluster: SaleCluster, local: type[FakeLocal]) -> None:
    behind = [[status("n1", "leader", 1), status("n2", "follower", 1, index=index)] for index in (0, 3, 9)]
    local.made[0].answers = behind

    assert await sale_cluster.start("n2") == 9
    assert local.made[0].answers == behind[-1:]


async def test_a_node_that_does_not_catch_up(
    sale_cluster: SaleCluster, local: type[FakeLocal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LIMIT_SECONDS", 0.05)
    local.made[0].answers = [[status("n1", "leader", 1), status("n2", "follower", 1, index=3)]]

    with pytest.raises(SaleFault, match="n2 has not caught up to index 9"):
        await sale_cluster.start("n2")


async def test_a_client_prefers_its_home_node(sale_cluster: SaleCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []
    monkeypatch.setattr(cluster, "AsyncInventoryClient", lambda endpoints, timeout: tried.append(endpoints))

    sale_cluster.client("n2")

    assert tried == [[sale_cluster.endpoint(node) for node in ("n2", "n3", "n1")]]


async def test_the_clock_is_the_latest_that_any_node_knows(sale_cluster: SaleCluster, local: type[FakeLocal]) -> None:
    down = NodeStatus("n3", ProcessState.DOWN, None)
    local.made[0].answers = [[status("n1", "leader", 1, index=7), status("n2", "follower", 1, index=5), down]]

    assert await sale_cluster.clock() == 7
