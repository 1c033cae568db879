"""A node's process imports nothing from the directory that the operator happens to be in."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from lastunit_node import server
from lastunit_node.cli.local_cluster import NODE_PROGRAM


def program_after_a_copy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a node becomes to start again from a copy."""
    became = MagicMock()
    monkeypatch.setattr(os, "execv", became)
    monkeypatch.setattr(sys, "argv", ["lastunit-node", "--version"])
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit):  # behind execv(), which does not return
        server.Server.leave(MagicMock(**{"_told_to_stop.is_set.return_value": False}), again=True)
    (call,) = became.call_args_list
    return list(call.args[1])


def test_nothing_is_imported_from_the_current_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apsw.py").write_text("raise SystemExit('imported')")
    for program in ([*NODE_PROGRAM, "--version"], program_after_a_copy(monkeypatch)):
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
