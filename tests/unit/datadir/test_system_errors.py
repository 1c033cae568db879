"""What the system refuses is told in one line and with status 2: it says nothing about the data."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.real_cluster import CLUSTER_ID

from lastunit_node.config import ClusterConfig
from lastunit_node.main import main


def replace_data_dir(path: Path) -> Path:
    shutil.rmtree(path.parent)
    path.parent.write_text("no folder")
    return path.parent


def replace_directory(path: Path) -> Path:
    shutil.rmtree(path)
    path.write_text("no folder")
    return path


def replace_lock(path: Path) -> Path:
    lock = path / "LOCK"
    lock.unlink()
    lock.mkdir()
    return lock


FORMAT = ["format", "--cluster-id", CLUSTER_ID]


@pytest.mark.parametrize(
    ("command", "replaced"),
    [
        *(([command], replace_data_dir) for command in ("run", "verify")),
        *(([command], replace_directory) for command in ("run", "verify")),
        *(([command], replace_lock) for command in ("run", "verify", "rejoin")),
        (FORMAT, replace_data_dir),
        (FORMAT, replace_directory),
        (["rejoin", "--cluster-id", CLUSTER_ID], replace_data_dir),
    ],
)
def test_what_is_in_the_way_is_named(
    config: ClusterConfig,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    replaced: Callable[[Path], Path],
) -> None:
    monkeypatch.setattr("lastunit_node.main.configure_logging", lambda node: None)  # it is of the whole process
    in_the_way = replaced(path)
    assert main([*command, "--config", str(config.path), "--node", "n1"]) == 2
    said, no_more = capsys.readouterr().err.split("\n")
    assert f"directory: '{in_the_way}'. See to that" in said
    assert not no_more


@pytest.mark.parametrize(
    ("redirection", "problem"),
    [(">&$PIPE", "Broken pipe"), (">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_an_answer_that_nobody_takes_says_nothing_about_the_data(
    config: ClusterConfig, redirection: str, problem: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "lastunit_node.main", "verify", "--config", str(config.path), "--node", "n1"]
    shell = ["bash", "-c", f'exec "$0" "$@" {redirection.replace("$PIPE", str(writing))}', *program]
    done = subprocess.run(shell, check=False, stderr=subprocess.PIPE, text=True, pass_fds=[writing])
    os.close(writing)
    assert done.stderr.splitlines() == [
        f"lastunit-node n1: stdout did not take the answer ({problem}), which says nothing about the data: ask again"
    ]
    assert done.returncode == 2
