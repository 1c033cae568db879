"""What holds for the whole project: its size and shape, its lock, what it ships."""

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import lastunit_node

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("protos", "node", "client", "tests")
MOST_LINES_IN_A_FUNCTION = 70
MEDIAN_LINES_OF_A_FUNCTION = 10
MOST_LINES_IN_A_FILE = 400

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """The files that people write."""
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")) if "_pb2" not in file.name]


def functions(file: Path) -> Iterator[Function]:
    """Every function and method in a file, inner ones too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """How long a function is, from `def` to its last line."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.fixture(scope="module")
def pyproject() -> dict[str, dict[str, dict[str, list[str]]]]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_no_function_is_long() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}: {lines_of(function)} lines"
        for file in python_files(*FOLDERS)
        for function in functions(file)
        if lines_of(function) > MOST_LINES_IN_A_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_are_short(folder: str) -> None:
    lengths = [lines_of(function) for file in python_files(folder) for function in functions(file)]
    assert statistics.median(lengths) <= MEDIAN_LINES_OF_A_FUNCTION


def test_no_file_is_long() -> None:
    counts = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in python_files(*FOLDERS)}
    long = [f"{file.relative_to(ROOT)}: {lines}" for file, lines in counts.items() if lines > MOST_LINES_IN_A_FILE]
    assert not long


def test_every_file_says_what_it_is_for() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in python_files(*FOLDERS)
        if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_an_order_of_reading_names_all_there_is_to_read() -> None:
    """A package that gives one leads a newcomer past every module of its folder."""
    unnamed = []
    for package in (file for file in python_files(*FOLDERS) if file.name == "__init__.py"):
        text = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
        if re.search("reading order|in this order", text, re.IGNORECASE):
            modules = {file.stem for file in python_files(str(package.parent)) if file.parent == package.parent}
            modules = {each for each in modules - {"__init__", "conftest"} if not each.startswith("test_")}
            unnamed += [f"{package.relative_to(ROOT)}: {each}" for each in modules - set(re.findall(r"\w+", text))]
    assert not unnamed


def test_no_test_sleeps_instead_of_waiting() -> None:
    """time.sleep blocks, and guesses."""
    sleepers = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in python_files("tests")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
    ]
    assert not sleepers


@pytest.mark.parametrize("folder", ["tests/unit", "tests/property", "tests/support"])
def test_asyncio_sleep_stands_only_in_loops_that_look_again(folder: str) -> None:
    """Those are `while` loops. asyncio.sleep(0), which lets others have their turn, may stand anywhere."""
    guesses = []
    for file in python_files(folder):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        looking_again = {inner for loop in nodes if isinstance(loop, ast.While) for inner in ast.walk(loop)}
        guesses += [
            f"{file.relative_to(ROOT)}:{node.lineno}"
            for node in nodes
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.sleep"
            if ast.unparse(node) != "asyncio.sleep(0)" and node not in looking_again
        ]
    assert not guesses


def test_the_lock_pins_everything_by_hash_and_names_no_index(
    pyproject: dict[str, dict[str, dict[str, list[str]]]],
) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|^-e| @ ", lock, re.MULTILINE)
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.MULTILINE))
    entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pinned)
    assert all("--hash=sha256:" in entry for entry in entries)
    project = pyproject["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.split(r"[=<>]", requirement)[0] for requirement in wanted} <= set(pinned)
    assert pinned["pysyncobj"] == "0.3.17"


def test_packages_are_typed_and_ship_what_they_need() -> None:
    for package in ("protos/lastunit", "node/lastunit_node", "client/lastunit_client"):
        assert (ROOT / package / "py.typed").is_file()
    for proto in (ROOT / "protos").rglob("*.proto"):
        generated = {
            proto.with_name(proto.stem + suffix) for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
        }
        assert all(file.is_file() for file in generated)


def test_one_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)
    assert lastunit_node.__version__ == version("lastunit") == versions[0]


def test_the_readme_begins_with_the_two_commands() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:12]
    assert any(line.startswith("make sale") for line in first)
    assert any(line.startswith("make test") for line in first)
