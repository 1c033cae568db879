"""Dependencies point one way: server -> front end -> replica -> state machine; the client never imports the node.

Read from the source by ast, so that an import inside a function counts like any other.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "node" / "lastunit_node"
CLIENT = ROOT / "client" / "lastunit_client"

# What a part may import of ours. A part is a package or a module of lastunit_node, or the whole of another package.
OURS = {
    "sqlite": set(),
    "statemachine": {"statemachine", "sqlite"},
    "wal": {"wal"},
    "replica": {"replica", "statemachine", "sqlite", "wal"},
    "frontend": {"frontend", "replica.interface", "statemachine", "copies", "lastunit"},
    "copies": {"statemachine", "sqlite", "wal", "wide_scan", "durable_files"},
    "wide_scan": {"statemachine", "sqlite"},
    "cli": {"cli", "config", "lastunit", "lastunit_client", "node_files"},
    "node_files": set(),
    "lastunit_client": {"lastunit_client", "lastunit"},
    "config": {"config_errors", "strict_yaml", "statemachine.limits"},
}
# What a part may import of others', beside the standard library.
THEIRS = {
    "sqlite": {"apsw"},
    "statemachine": {"msgpack", "msgspec", "xxhash"},
    "wal": set(),
    "replica": {"msgpack", "pysyncobj", "structlog"},
    "lastunit_client": {"google", "grpc"},
}
# What would let chance or the clock into the state machine.
IMPURE = {
    "asyncio",
    "concurrent",
    "datetime",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}


def sources(part: str) -> list[Path]:
    """The files of a part."""
    if part == "lastunit_client":
        return sorted(CLIENT.rglob("*.py"))
    return sorted((NODE / part).rglob("*.py")) or [NODE / f"{part}.py"]


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports; for `from package import name` also package.name, in case that is one."""
    for statement in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{file}: relative import"
            assert statement.module is not None
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def is_ours(module: str) -> bool:
    """Whether a module is of this project."""
    return module.partition(".")[0] in {"lastunit", "lastunit_client", "lastunit_node"}


def is_within(module: str, allowed: set[str]) -> bool:
    """Whether a module of ours is one of these, or within one, or the package above one (which imports nothing)."""
    name = module.removeprefix("lastunit_node.")
    above = {"lastunit_node", "replica"} if "replica.interface" in allowed else {"lastunit_node"}
    return name in above or any(name == each or name.startswith(f"{each}.") for each in allowed)


def imports_of(part: str) -> list[tuple[Path, str]]:
    """All imports of a part, with where they stand."""
    found = [(file, module) for file in sources(part) for module in imported(file)]
    assert found, f"{part} is gone: update this test"
    return found


@pytest.mark.parametrize("part", OURS)
def test_dependencies_point_one_way(part: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file, module in imports_of(part)
        if is_ours(module) and not is_within(module, OURS[part])
    ]
    assert not wrong


@pytest.mark.parametrize("part", THEIRS)
def test_few_libraries(part: str) -> None:
    others = {module.partition(".")[0] for _, module in imports_of(part) if not is_ours(module)}
    assert others - set(sys.stdlib_module_names) <= THEIRS[part]


def test_the_state_machine_knows_no_clock_no_chance_and_no_network() -> None:
    assert not {module.partition(".")[0] for _, module in imports_of("statemachine")} & IMPURE


def test_one_package_imports_pysyncobj() -> None:
    files = [*NODE.rglob("*.py"), *CLIENT.rglob("*.py")]
    users = {file for file in files if any(module.partition(".")[0] == "pysyncobj" for module in imported(file))}
    assert {file.relative_to(NODE).parts[0] for file in users} == {"replica"}


def test_the_packages_above_what_may_be_imported_import_nothing_themselves() -> None:
    """Else importing replica.interface would bring in all of the replica."""
    for package in (NODE, NODE / "replica"):
        assert not [module for module in imported(package / "__init__.py") if is_ours(module)]
