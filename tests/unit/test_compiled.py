"""What is compiled (hatch_build.py): it keeps the promises that its sources keep, and is never older than these."""

import ast
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from lastunit_node.compiled import StaleCodeError, refuse_stale_code

ROOT = Path(__file__).resolve().parents[2]
IS_COMPILED = (ROOT / "node/lastunit_node/compiled.json").is_file()
needs_compiled = pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here: there is no C compiler")
REPLICA = (
    *("messages", "connection", "link", "journal", "journal_damage", "entry_cache", "follower", "forwarding"),
    *("promise", "elections", "leadership", "transfer", "admission", "readmission", "old_disks"),
    *("lost_acknowledgements", "leader"),
)
PROMISES = (
    "tests/property",
    "tests/unit/statemachine",
    "tests/unit/frontend",
    "tests/unit/client",
    "tests/unit/datadir/test_damage.py",
    *[f"tests/unit/replica/test_{name}.py" for name in REPLICA],
)


@needs_compiled
@pytest.mark.timeout(600)
def test_compiled_code_passes_the_tests_of_its_sources() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PROMISES]
    environment = os.environ | {"COMPILED": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    stacks = run.stderr.partition("Extension modules:")[0]  # of a crash; what follows is a long list
    assert run.returncode == 0, run.stdout[-5_000:] + stacks[-5_000:]


@needs_compiled
@pytest.mark.parametrize("module", ["lastunit_node.statemachine.machine", "lastunit_client.stream"])
def test_a_process_of_its_own_runs_what_was_compiled(module: str) -> None:
    show = f"import {module} as found; print(found.__file__)"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith(".so")


NEVER_WAIT = {"self._attempting"}  # to leave them: a lock


def test_nothing_that_is_compiled_awaits_while_it_handles_an_exception() -> None:
    """mypyc 2.4.1 has one sys.exc_info() for all coroutines; and a `finally` that awaits raises what it finds there."""
    show = "import hatch_build as b; print(*(file for package in b.MODULES for file in b.sources(package)), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    sources = run.stdout.split()
    assert len(sources) > 50
    found = [
        f"{file}:{node.lineno}"
        for file in sources
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncWith | ast.Try) and awaits_in_a_handler(node)
    ]
    assert not found


def awaits_in_a_handler(node: ast.AsyncWith | ast.Try) -> bool:
    if isinstance(node, ast.AsyncWith):
        return any(ast.unparse(item.context_expr) not in NEVER_WAIT for item in node.items)
    handlers = [*node.handlers, *node.finalbody]
    return any(isinstance(part, ast.Await) for handler in handlers for part in ast.walk(handler))


NEXT_CALL = """
import asyncio
from lastunit_node.frontend.calls import abort
from lastunit_node.frontend.errors import internal

class Context:
    async def abort(self, code, details, metadata):
        raise LookupError(details)

class Dropped(Context):
    def __del__(self):
        begun.append(abort(Context(), internal("what the next call says", definite=True)))

begun = []
call = abort(Dropped(), internal("unheard", definite=True))
del call
try:
    asyncio.run(begun.pop())
except LookupError as error:
    print(str(error).partition(":")[0])
"""


@needs_compiled
def test_a_call_that_begins_while_another_of_the_same_function_is_dropped_has_its_own_arguments() -> None:
    """As any thread may at any line, when the collector finds calls that nobody will finish."""
    run = subprocess.run([sys.executable, "-c", NEXT_CALL], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "what the next call says\n", "")


def test_a_source_that_changed_after_it_was_compiled_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "orders.py"
    source.write_text("first", encoding="utf-8")
    manifest = {"orders.py": sha256(b"first").hexdigest()}
    (tmp_path / "compiled.json").write_text(json.dumps(manifest), encoding="utf-8")
    refuse_stale_code(tmp_path)

    source.write_text("second", encoding="utf-8")

    with pytest.raises(StaleCodeError, match=r"orders\.py was changed after it was compiled"):
        refuse_stale_code(tmp_path)


def test_where_nothing_is_compiled_nothing_is_refused(tmp_path: Path) -> None:
    refuse_stale_code(tmp_path)
