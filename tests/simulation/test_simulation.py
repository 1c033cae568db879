"""A few seeds of everything, on every run of the tests; `make simulate` runs as many as one has time for."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.reads import LINEARIZABLE, OF_AN_INDEX, STALE

TESTS = Path(__file__).parents[1]

FAULTS = (
    *(
        "kill one, power",
        "kill one, process",
        "kill in a turn, power",
        "kill all, power",
        "pause",
        "split",
        "wipe",
        "old disk put back",
    ),
    *("disk full, process", "the disk refused a read or a write, process", "damage"),
)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Seeds run in processes of their own: they replace the clock of PySyncObj."""
    return subprocess.run(
        [sys.executable, "-m", "simulation", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "0"},
    )


def play(seed: int, nodes: int) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(run("--seed", seed, "--nodes", nodes).stdout)
    return report


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("nodes", "seeds"), [(3, 40), (5, 16)])
def test_nothing_is_lost_and_nothing_gets_stuck(nodes: int, seeds: int) -> None:
    done = run("--nodes", nodes, "--seeds", seeds, "--json", "--out", os.devnull)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["seeds"] == seeds
    assert summary["violations"] == []
    assert summary["slowest_failover"] > 0
    for kind in FAULTS:
        assert summary["faults"][kind] > 0, kind
    for kind in ("copy: begun", "copy: installed", "journal trimmed", "postponed", LINEARIZABLE, OF_AN_INDEX, STALE):
        assert summary["events"][kind] > 0, kind


@pytest.mark.parametrize("nodes", [3, 5])
def test_a_seed_plays_the_same_story_bit_for_bit(nodes: int) -> None:
    first, second = play(7, nodes), play(7, nodes)
    assert first.pop("wall_seconds")
    assert second.pop("wall_seconds")
    assert first == second
    assert play(8, nodes)["hash"] != first["hash"]


def test_a_seed_has_its_measure_of_faults_commands_and_leaders() -> None:
    report = play(9, 3)
    assert report["violation"] is None
    assert report["faulty_seconds"] >= 30
    assert report["answered"] >= 300
    assert report["leaders"] >= 3
    assert report["faults"]["(while another lasted)"] > 0


def test_a_bug_that_cannot_be_planted_was_not_found() -> None:
    """Its process dies at once, and a process that dies is a violation otherwise."""
    hunt = (
        "from simulation import mutants, planting\n"
        "def plant(): planting.replace(mutants, 'no_such_name', str)\n"
        "mutants.hunt(planting.Mutant('a bug', plant, 3, 1), 1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hunt],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "0"},
    )
    assert done.returncode == 1
    assert "CannotPlant: plant: AttributeError" in done.stderr
