"""`lastunit verify` on fake nodes: what is said of whom, and the exit status."""

import json
from collections.abc import Callable, Mapping

import pytest

from lastunit_node.cli.local_cluster import LocalCluster
from lastunit_node.cli.node_status import NodeStatus
from lastunit_node.cli.processes import ProcessState
from lastunit_node.cli.verification import Finding, NodeScan, judge

Command = Callable[..., int]

WHOLE = NodeScan(7, 12, "d", "d")


def statuses(chains: Mapping[str, str | None]) -> dict[str, NodeStatus]:
    """How nodes with these chains stand; None for one that does not answer."""
    return {
        node: NodeStatus(
            node, ProcessState.RUNNING, 1, role=chain and "follower", hash_index=7, chain=chain, digest="d"
        )
        for node, chain in chains.items()
    }


@pytest.mark.parametrize(
    ("chains", "findings"),
    [
        (["a", "a", "a"], "good good good"),
        (["a", "b", "a"], "good differs good"),
        (["a", "b", None], "differs differs not-asked"),
        (["a", "b", "c"], "differs differs differs"),
        (["a", None, "a"], "good not-asked good"),
        (["a", None, None], "good not-asked not-asked"),
        (["a", "a", "b", "b", None], "differs differs differs differs not-asked"),
        (["a", "a", "b", "b", "b"], "differs differs good good good"),
    ],
)
def test_hashes_are_those_of_a_majority_or_wrong(chains: list[str | None], findings: str) -> None:
    named = {f"n{number}": chain for number, chain in enumerate(chains, 1)}
    found = judge(dict.fromkeys(named, WHOLE), statuses(named))
    assert " ".join(verdict.finding.replace(" ", "-") for verdict in found) == findings


def test_damaged_rows_come_before_anything_else_that_is_wrong() -> None:
    scans = {"n1": WHOLE, "n2": NodeScan(7, 12, "d", "e"), "n3": NodeScan(problem="malformed", unreadable=True)}
    found = judge(scans, statuses({"n1": "a", "n2": "b", "n3": None}))
    assert [verdict.finding for verdict in found][1:] == [Finding.DAMAGED, Finding.DAMAGED]


def test_all_good(cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.up()
    assert lastunit("verify") == 0
    printed = capsys.readouterr()
    assert printed.out.count("good") == 3
    assert printed.err == ""
    assert lastunit("verify", "--json") == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert [(node["node"], node["finding"], node["scan"]["rows"]) for node in nodes] == [
        ("n1", "good", 12),
        ("n2", "good", 12),
        ("n3", "good", 12),
    ]
    assert {node["compared_index"] for node in nodes} == {7}


@pytest.mark.parametrize(
    ("mode", "status", "said"),
    [
        ("diverged", 1, "n2: its state is not that of a majority of the nodes. Stop it with `lastunit kill n2`"),
        ("damaged", 1, "n2: rows of its state were changed behind its back, and it stops by itself"),
        ("unreadable", 1, "n2: rows of its state were changed behind its back"),
        ("busy", 4, "n2: another scan is under way; see `lastunit status`"),
    ],
)
def test_one_node_is_not_good(
    cluster: LocalCluster,
    lastunit: Command,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    status: int,
    said: str,
) -> None:
    cluster.config.path.with_name("mode-n2").write_text(mode)
    cluster.up()
    assert lastunit("verify") == status
    printed = capsys.readouterr()
    assert printed.out.count("good") == 2
    assert said in printed.err
    assert printed.err.count("lastunit: ") == 1


def test_a_node_that_is_down_cannot_be_asked(
    cluster: LocalCluster, lastunit: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.up()
    cluster.kill("n3")
    assert lastunit("verify") == 4
    assert "n3: it is down; see `lastunit status`" in capsys.readouterr().err
