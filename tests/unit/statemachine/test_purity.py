"""The state machine's imports and statements: nothing in them may differ between nodes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lastunit_node.statemachine

PACKAGE = Path(lastunit_node.statemachine.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))
IMPURE = {"grpc", "pysyncobj", "time", "datetime", "random", "secrets", "uuid", "threading", "asyncio", "os", "socket"}
QUESTION = {"where": 0, "under": 1, "execute": 0}  # by the method that reads rows, which argument it is
UNORDERED = {  # and why that may be
    "database.create_schema": "it reads nothing",
    "integrity._problem_of_definitions": "a set is made of the rows",
    "integrity.problem_of_indexes": "rows are summed",
    "table.prefetch": "each row goes to its key",
    "table.under": "the condition orders: it is looked at where it is written",
    "table.where": "the condition orders: it is looked at where it is written",
    "tables.scan_digest": "rows are summed",
    "tables.scan_share": "rows are summed",
}


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


def assigned(tree: ast.AST) -> dict[str, ast.expr]:
    """Values by the names that they are given, as literals are."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in found for target in node.targets if isinstance(target, ast.Name)}


def text(node: ast.expr, names: dict[str, ast.expr]) -> str:
    """A literal with the names in it replaced by what they stand for; ? is what only a run would tell."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(text(part, names) for part in parts)
        case ast.FormattedValue(value=value):
            return text(value, names)
        case ast.Name(id=name) if name in names:
            return text(names[name], {})
    return "?"


def questions(module: Path) -> Iterator[tuple[str, str]]:
    """Each that may be answered by several rows, after the name of the function that asks."""
    tree = ast.parse(module.read_text())
    constants = assigned(tree)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        names = constants | assigned(function)
        nodes = list(ast.walk(function))
        for_one_row = [node.value for node in nodes if isinstance(node, ast.Attribute) and node.attr == "fetchone"]
        for node in nodes:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node in for_one_row:
                continue
            method = node.func.attr
            question = text(node.args[QUESTION[method]], names) if method in QUESTION else ""
            if question.startswith(("SELECT", "?")) or (question and method != "execute"):
                yield f"{module.stem}.{function.name}", question


def test_a_select_of_several_rows_is_ordered() -> None:
    """Rows are read one at a time by key, by a question that orders them, or where their order changes nothing."""
    asked = [question for module in MODULES for question in questions(module)]
    unordered = {function for function, question in asked if "ORDER BY" not in question}

    assert unordered == set(UNORDERED)
    assert {function.split(".")[0] for function, _ in asked} > {"available", "changes", "queries", "reservations"}
