"""`lastunit up` and its like, on fake nodes: what is said, and the exit status."""

import json
import re
import shutil
from collections.abc import Callable

import pytest

from lastunit_node.cli.local_cluster import LocalCluster

Command = Callable[..., int]


def test_up_status_down(cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lastunit("up") == 0
    said = capsys.readouterr()
    assert "leader" in said.out
    assert f"a new cluster, without any stock, was made in {cluster.config.data_dir}" in said.err
    assert lastunit("up") == 1
    assert "already running: n1, n2, n3" in capsys.readouterr().err
    assert lastunit("status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert [node["role"] for node in status["nodes"]] == ["leader", "follower", "follower"]
    assert lastunit("down", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": ["n1", "n2", "n3"], "killed": []}
    assert lastunit("status") == 1, "nobody leads"
    assert lastunit("down") == 0
    assert "no node was running" in capsys.readouterr().out
    assert lastunit("up") == 0
    assert "a new cluster" not in capsys.readouterr().err


def test_one_node(cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.up()
    for words, said in [
        (["pause", "n2"], "n2 is paused\n"),
        (["resume", "n2"], "n2 goes on\n"),
        (["kill", "n3"], "n3 is killed\n"),
        (["transfer", "n2"], "n2 leads\n"),
    ]:
        assert lastunit(*words) == 0
        assert capsys.readouterr().out == said
    assert lastunit("kill", "n3") == 1
    assert "n3 is not running; start it with `lastunit start n3`" in capsys.readouterr().err
    assert lastunit("start", "n3", "--json") == 0
    started = json.loads(capsys.readouterr().out)
    assert started == {"node": "n3", "process": "running", "pid": cluster.running()["n3"]}
    assert lastunit("start", "n3") == 1
    assert lastunit("transfer", "n3") == 1
    assert "n3 is too far behind" in capsys.readouterr().err


def test_start_does_not_wait_without_a_majority(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.format()
    cluster.config.path.with_name("mode-n1").write_text("silent")
    assert lastunit("start", "n1") == 0
    assert "serves once a majority of the nodes does" in capsys.readouterr().out


def test_start_does_not_wait_for_a_majority_of_disks_that_do_not_count(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.format()
    cluster.config.path.with_name("mode-n1").write_text("new")
    cluster.config.path.with_name("mode-n2").write_text("silent")
    for node, lacking in [
        ("n1", "a majority of the nodes does"),
        ("n2", "a majority of the disks counts; n1 has a new one"),
    ]:
        assert lastunit("start", node) == 0
        assert f"serves once {lacking}" in capsys.readouterr().out
    shutil.rmtree(cluster.config.node_dir("n3"))
    assert lastunit("rejoin", "n3") == 0
    assert "catches up once the others run" in capsys.readouterr().out


def test_a_lost_disk_does_not_keep_the_others_from_starting(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `up` and `start` advise is done to the letter, and helps."""
    cluster.format()
    shutil.rmtree(cluster.config.node_dir("n1"))
    assert lastunit("start", "n1") == 1
    refused = capsys.readouterr().err
    assert lastunit("up") == 1
    assert capsys.readouterr().err == refused
    *commands, last_resort = re.findall("`lastunit ([^`]*)`", refused)
    assert commands == ["start n2", "start n3", "rejoin n1"]
    assert last_resort == "up --fresh"
    for command in commands:
        assert lastunit(*command.split()) == 0
    assert lastunit("status") == 0


def test_a_node_that_does_not_come_up(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.config.path.with_name("mode-n2").write_text("refuse-run")
    assert lastunit("up") == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "n2 ended before it served" in printed.err.splitlines()[0]
    assert printed.err.splitlines()[0].endswith("n2/node.log. All nodes were stopped again"), "it has no data to lose"
    assert printed.err.splitlines()[1:] == ["  | n2 will not run"]


def test_a_damaged_node_does_not_keep_the_others_from_starting(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `up` advises once it has stopped all is done to the letter, and helps."""
    cluster.format()
    mode = cluster.config.path.with_name("mode-n2")
    mode.write_text("refuse-run")
    assert lastunit("up") == 4
    said = capsys.readouterr().err.splitlines()[0]
    assert "All nodes were stopped again; the others go on without it after" in said
    assert not cluster.running()
    commands = re.findall("`lastunit ([^`]*)`", said)
    assert commands == ["start n1", "start n3", "rejoin n2"]
    mode.unlink()  # a new disk is not damaged
    for command in commands:
        assert lastunit(*command.split()) == 0
    assert lastunit("status") == 0


def test_a_node_that_is_killed_on_the_way_down(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.config.path.with_name("mode-n1").write_text("stubborn")
    cluster.up()
    assert lastunit("down", "--timeout", "1") == 0
    assert "n1 did not stop within 1 s and was killed; nothing is lost" in capsys.readouterr().err


def test_config(cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lastunit("config", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {**cluster.config.effective(), "agreed": None}
    assert lastunit("config") == 0
    assert "hold_cap_ticks" in capsys.readouterr().out


def test_a_file_that_was_changed_after_the_cluster_was_born(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lastunit("up") == 0
    assert "born" not in capsys.readouterr().err
    assert lastunit("down") == 0
    path = cluster.config.path
    path.write_text(path.read_text().replace("tick_ms: 20", "tick_ms: 50"))
    assert lastunit("up") == 0
    warning = "says tick_ms 50; the cluster was born with 20, and keeps it"
    assert warning in capsys.readouterr().err
    assert lastunit("kill", "n2") == 0
    assert lastunit("start", "n2") == 0
    assert warning in capsys.readouterr().err
    assert lastunit("config") == 0
    assert "50; in force is 20, with which the cluster was born" in capsys.readouterr().out
    assert lastunit("config", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tick_ms"], told["agreed"]["tick_ms"], told["agreed"]["sweep_size"]) == (50, 20, told["sweep_size"])


def test_a_bad_cluster_file(cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.config.path.write_text("cluster: x\nnoodles: {}\n")
    for words in (["up"], ["status"], ["kill", "n1"], ["order", "vase=1"], ["config"]):
        assert lastunit(*words) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert "noodles: unknown key" in printed.err


def test_no_such_node(lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("start", "kill", "pause", "resume", "transfer"):
        assert lastunit(word, "n9") == 2
        assert "no node 'n9'; its nodes are n1, n2, n3" in capsys.readouterr().err
