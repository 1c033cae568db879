"""The state machine's imports and statements: nothing in them may differ between nodes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lastunit_node.statemachine

PACKAGE = Path(lastunit_node.statemachine.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))
IMPURE = {"grpc", "pysyncobj", "time", "datetime", "random", "secrets", "uuid", "threading", "asyncio", "os", "socket"}
OURS = {"lastunit_node.statemachine"}


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_imports_nothing_that_differs_between_nodes(module: Path) -> None:
    names = set(imported(module))

    assert not {name.split(".")[0] for name in names} & IMPURE
    ours = {name for name in names if name.startswith("lastunit_node.")}
    assert all(name.startswith(("lastunit_node.statemachine", "lastunit_node.sqlite")) for name in ours)
    assert not any(name.startswith("lastunit") for name in names - ours - {"lastunit_node"})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_select_of_several_rows_is_ordered(module: Path) -> None:
    """Rows are read by key, by a condition that orders them, or to be summed (the digest)."""
    for condition in re.findall(r"\.where\(\s*f?\"([^\"]*)\"", module.read_text()):
        assert "ORDER BY" in condition or "{order}" in condition
