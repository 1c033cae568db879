"""The local cluster as a library, on fake nodes: started together, stopped together, and cleaned up after a failure."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
import pytest
import yaml

from lastunit_node.cli.errors import LocalClusterError, NodeFaultError
from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.processes import ProcessState, wait_until
from lastunit_node.config import ConfigError, load_cluster

from .conftest import FAKE_PROGRAM


def misbehave(cluster: LocalCluster, node: str, mode: str) -> None:
    cluster.config.path.with_name(f"mode-{node}").write_text(mode)


def states(cluster: LocalCluster) -> list[ProcessState]:
    return [cluster.state(node) for node in cluster.nodes]


def test_a_life(cluster: LocalCluster) -> None:
    """Up, refused twice, found by another object, one node less, one paused, down, and up again with the same data."""
    heard: list[tuple[int, int]] = []
    cluster.up(on_progress=lambda serving, total: heard.append((serving, total)))
    assert all(total == 3 and serving < 3 for serving, total in heard)
    for fresh in (False, True):
        with pytest.raises(LocalClusterError, match="already running: n1, n2, n3"):
            cluster.up(fresh=fresh)
    same = LocalCluster(cluster.config, FAKE_PROGRAM)
    assert same.running() == cluster.running()
    same.kill("n3")
    cluster.pause("n2")
    assert states(cluster) == ["running", "paused", "down"]
    assert not cluster.majority_runs()
    cluster.resume("n2")
    assert cluster.majority_runs()
    assert cluster.down() == []
    assert states(same) == ["down"] * 3
    identity = (cluster.config.node_dir("n1") / "identity.json").read_text()
    cluster.up()
    assert (cluster.config.node_dir("n1") / "identity.json").read_text() == identity
    assert cluster.stop("n1")
    assert cluster.stop("n1"), "stopping what is down is no failure"
    cluster.start("n1")
    cluster.wait_serving(nodes=["n1"])


def test_answers(cluster: LocalCluster) -> None:
    cluster.up()
    cluster.pause("n3")
    statuses = cluster.statuses(hash_at_index=5)
    assert [status.role for status in statuses.values()] == ["leader", "follower", None]
    assert [status.answers for status in statuses.values()] == [True, True, False]
    assert (statuses["n1"].hash_index, statuses["n1"].chain, statuses["n2"].leader) == (5, "01" * 16, "n1")
    assert cluster.leader() == "n1"
    assert cluster.transfer("n2") == "n2"
    assert cluster.transfer("n1") == "n1", "it leads already"
    with pytest.raises(LocalClusterError, match="n1 still leads: n3 is too far behind"):
        cluster.transfer("n3")
    cluster.kill("n1")
    with pytest.raises(LocalClusterError, match="no node leads now"):
        cluster.transfer("n2")


def test_a_node_that_ends_at_once(cluster: LocalCluster) -> None:
    misbehave(cluster, "n2", "refuse-run")
    with pytest.raises(NodeFaultError, match=r"n2 ended before it served; its log is .*node\.log") as caught:
        cluster.up()
    assert caught.value.log_tail == "n2 will not run"
    assert states(cluster) == ["down"] * 3, "what was started is stopped again"


def test_a_node_that_ends_without_a_word(cluster: LocalCluster) -> None:
    """As on a disk that has no room for its log."""
    misbehave(cluster, "n2", "mute")
    said = r"n2 ended before it served with status 7 and wrote nothing \(free space there: [0-9]+ MiB\); its log is "
    with pytest.raises(NodeFaultError, match=said):
        cluster.up()


def test_a_node_that_never_serves(cluster: LocalCluster) -> None:
    misbehave(cluster, "n3", "silent")
    with pytest.raises(NodeFaultError, match=r"n3 does not serve after 5 s") as caught:
        cluster.up(timeout_s=5)
    assert caught.value.log_tail == "n3 is up"
    assert states(cluster) == ["down"] * 3


def test_a_stranger_on_a_nodes_port_is_not_taken_for_the_node(cluster: LocalCluster) -> None:
    cluster.format()
    for address in (cluster.config.node("n2").grpc, cluster.config.node("n2").raft):
        with socket.create_server(address):
            for action in (cluster.up, partial(cluster.up, fresh=True), partial(cluster.start, "n2")):
                with pytest.raises(
                    LocalClusterError,
                    match=rf"address of n2, {address}, is taken by another process \(PID {os.getpid()}, ",
                ):
                    action()
    assert states(cluster) == ["down"] * 3
    assert cluster.data.exist(), "nothing was erased"


def test_a_stranger_that_listens_as_grpc_does_is_named(cluster: LocalCluster) -> None:
    """A socket of IPv6 for both."""
    cluster.format()
    host, port = cluster.config.node("n2").grpc
    with socket.socket(socket.AF_INET6) as stranger:
        stranger.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        stranger.bind((f"::ffff:{host}", port))
        stranger.listen()
        with pytest.raises(LocalClusterError, match=rf"is taken by another process \(PID {os.getpid()}, "):
            cluster.up()


def test_ctrl_c_stops_what_was_started(cluster: LocalCluster) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    misbehave(cluster, "n3", "silent")

    def interrupt(serving: int, _: int) -> None:
        if serving == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        cluster.up(on_progress=interrupt)
    assert states(cluster) == ["down"] * 3


def test_ctrl_c_again_and_again_leaves_no_node_that_was_not_asked_to_end(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    misbehave(cluster, "n3", "silent")
    send = psutil.Process.send_signal

    def interrupt(serving: int, _: int) -> None:
        if serving == 2:
            signal.raise_signal(signal.SIGINT)

    def send_and_interrupt(process: psutil.Process, number: int) -> None:
        signal.raise_signal(signal.SIGINT)
        send(process, number)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "send_signal", send_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            cluster.up(on_progress=interrupt)
    assert wait_until(lambda: states(cluster) == ["down"] * 3, 10)


def test_ctrl_c_while_a_process_is_made_leaves_none(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it comes between the start of the process and the moment at which it can be found again."""
    cluster.format()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    make, made = subprocess.Popen, list["subprocess.Popen[bytes]"]()

    def make_and_interrupt(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        made.append(make(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return made[-1]

    monkeypatch.setattr(subprocess, "Popen", make_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        cluster.up()
    assert states(cluster) == ["down"] * 3
    assert [child.wait(5) is None for child in made] == [False]


def test_a_node_that_ends_at_once_is_said_also_without_a_majority(cluster: LocalCluster) -> None:
    cluster.format()
    misbehave(cluster, "n1", "refuse-run")
    cluster.start("n1")
    with pytest.raises(NodeFaultError, match="n1 ended before it served"):
        cluster.comes_to_serve("n1")


def test_a_node_that_answers_at_the_address_of_another_is_not_taken_for_it(cluster: LocalCluster) -> None:
    cluster.up()
    values = yaml.safe_load(cluster.config.path.read_text())
    one, two = values["nodes"]["n1"], values["nodes"]["n2"]
    one["grpc"], two["grpc"] = two["grpc"], one["grpc"]
    changed = cluster.config.path.with_name("changed.yml")
    changed.write_text(yaml.safe_dump(values))
    statuses = LocalCluster(load_cluster(changed), FAKE_PROGRAM).statuses()
    assert [status.answers for status in statuses.values()] == [False, False, True]


def test_a_node_that_does_not_stop_is_killed(cluster: LocalCluster) -> None:
    misbehave(cluster, "n1", "stubborn")
    cluster.up()
    assert cluster.down(timeout_s=1) == ["n1"]
    assert states(cluster) == ["down"] * 3


def test_a_node_of_another_user_keeps_no_other_from_being_stopped(
    cluster: LocalCluster,
    lastunit: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.up()
    pid, send = cluster.running()["n2"], psutil.Process.send_signal

    def send_if_ours(process: psutil.Process, number: int) -> None:
        if process.pid == pid:
            raise psutil.AccessDenied(pid)
        send(process, number)

    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "send_signal", send_if_ours)
        assert lastunit("down", "--json") == 4
        assert states(cluster) == ["down", "running", "down"]
        answer = json.loads(capsys.readouterr().out)
        assert answer["definite"] is False
        assert answer["message"].startswith(f"n2 (PID {pid}) is another user's")
        assert answer["message"].endswith("Stopped: n1, n3")
        assert lastunit("down", "--json") == 1
        assert json.loads(capsys.readouterr().out)["definite"] is True, "nothing was done"


def test_fresh_starts_over(cluster: LocalCluster) -> None:
    cluster.format()
    identity = cluster.config.node_dir("n1") / "identity.json"
    before = identity.read_text()
    cluster.up(fresh=True)
    assert identity.read_text() != before


def test_a_node_without_data_is_not_started(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError, match="n1 has no data yet; start the cluster with `lastunit up`"):
        cluster.start("n1")


def test_a_node_that_is_not_in_the_file(cluster: LocalCluster) -> None:
    for action in (cluster.start, cluster.kill, cluster.state, cluster.stop, cluster.status):
        with pytest.raises(ConfigError, match="no node 'n9'; its nodes are n1, n2, n3"):
            action("n9")
