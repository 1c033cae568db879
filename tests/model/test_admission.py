"""The model of rule 9 finds what goes wrong when a part of the rule is left out, and nothing in the whole rule."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("admission.cpp")
COMPILER = shutil.which("c++")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("no C++ compiler on PATH")
    program = tmp_path_factory.mktemp("model") / "admission"
    subprocess.run([COMPILER, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE], check=True)
    return program


def search(model: Path, *arguments: str) -> tuple[int, list[str]]:
    found = subprocess.run([model, *arguments], capture_output=True, text=True, check=False, timeout=300)
    return found.returncode, found.stdout.splitlines()


@pytest.mark.parametrize(
    ("left_out", "bounds"),
    [
        ("counter", ()),
        ("knows", ("crashes=0",)),
        ("voter", ("stands=0", "crashes=0")),
        ("stands", ("crashes=0", "orders=0", "admissions=1", "terms=4")),
    ],
)
def test_without_a_part_of_the_rule_a_committed_entry_is_lost(
    model: Path, left_out: str, bounds: tuple[str, ...]
) -> None:
    code, lines = search(model, f"{left_out}=0", *bounds)
    assert code == 1, lines
    assert lines[0].startswith("a leader lacks what was committed before its term"), lines


def test_with_the_whole_rule_none_is(model: Path) -> None:
    code, lines = search(model)
    assert code == 0, "\n".join(lines)
    assert lines[-1].startswith("nothing in 5"), lines


def test_an_argument_that_it_does_not_know_is_refused(model: Path) -> None:
    assert search(model, "terms")[0] == 2
    assert search(model, "voters=1")[0] == 2
