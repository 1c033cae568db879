"""`lastunit-node verify`: are the files of a stopped node what the node wrote? Changes nothing but a lock file.

Checked in this order: whose data it is; the journal's -wal, pages, CRCs, and that no entry is missing; the state's
-wal, pages and digest against all its rows; that the journal continues the state.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, NamedTuple

from lastunit_node import sqlite
from lastunit_node.config import ClusterConfig
from lastunit_node.damage import explain
from lastunit_node.datadir import DataDirectory, DirectoryInUse, DirectoryRefused
from lastunit_node.replica.core import StartRefused, check_state_against_journal
from lastunit_node.replica.journal import JournalDamaged, JournalFormatError, SqliteJournal
from lastunit_node.statemachine.errors import StateDamaged, StateFormatError, StateIdentityError
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.tables import Rows, Watch

PROGRESS_SECONDS: Final = 2.0
PROBLEMS: Final = (
    DirectoryRefused,
    JournalDamaged,
    JournalFormatError,
    StateDamaged,
    StateFormatError,
    StateIdentityError,
    StartRefused,
    sqlite.Error,
)

Facts = dict[str, int | str]


class Finding(NamedTuple):
    """One part of a node's data, and what is wrong with it."""

    part: str
    problem: str | None
    facts: Facts


def verify_node(config: ClusterConfig, node: str, tell: Callable[[str], None]) -> list[Finding]:
    """Look at a stopped node's data; `tell` hears of progress.

    Raises DirectoryInUse while the node runs, DirectoryRefused where SQLite could not read it.
    """
    _require_shm(config.node_dir(node))
    try:
        directory = DataDirectory(config.node_dir(node), config.cluster, config.nodes, node)
    except DirectoryInUse:
        raise
    except DirectoryRefused as refusal:
        return [Finding("identity", str(refusal), {})]
    with ExitStack() as files:
        files.callback(directory.close)
        return _Verification(directory, config, node, files, tell).run()


def _require_shm(path: Path) -> None:
    """Raise DirectoryRefused for a -wal without its index where none can be made: SQLite could not read it there."""
    for wal in sorted(path.glob("*.db-wal")):
        index = wal.with_name(wal.name.removesuffix("-wal") + "-shm")
        if not index.exists() and not os.access(path, os.W_OK):
            raise DirectoryRefused(
                f"{wal} cannot be read without {index.name}, which is missing and cannot be made there: copy {path} to "
                "where you can write, and verify that (data_dir in the cluster file says where the data lies)"
            )


class _Verification:
    """The looks at one directory; `files` closes what they open."""

    def __init__(
        self,
        directory: DataDirectory,
        config: ClusterConfig,
        node: str,
        files: ExitStack,
        tell: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._path = config.node_dir(node)
        self._files = files
        self._watch = telling(tell)
        self._journal: SqliteJournal | None = None
        self._machine: StateMachine | None = None

    def run(self) -> list[Finding]:
        looks = {
            "identity": self._look_at_identity,
            "journal": self._look_at_journal,
            "state": self._look_at_state,
            "state against journal": self._look_at_both,
        }
        return [self._find(part, look) for part, look in looks.items()]

    def _find(self, part: str, look: Callable[[], Facts]) -> Finding:
        try:
            return Finding(part, None, look())
        except PROBLEMS as problem:
            return Finding(part, explain(problem, self._path), {})

    def _look_at_identity(self) -> Facts:
        identity = self._directory.identity
        return {"cluster": identity.cluster, "cluster_id": identity.cluster_id, "node": identity.node}

    def _look_at_journal(self) -> Facts:
        journal = self._files.enter_context(closing(self._directory.open_journal(read_only=True)))
        journal.check_pages()
        self._journal = journal
        return {
            "first_index": journal.first_index,
            "last_index": journal.last_index,
            "last_term": journal.last_term,
            "term": journal.getCurrentTerm(),
            "boots": journal.boot,
        }

    def _look_at_state(self) -> Facts:
        if self._journal is None:
            raise StartRefused("not looked at: the journal, which names it, cannot be read")
        connection = self._files.enter_context(closing(self._directory.inspect_state(self._watch)))
        self._machine = machine = StateMachine(connection)
        return {
            "applied_index": machine.applied_index,
            "applied_term": machine.applied_term,
            "clock": machine.clock,
            "chain": machine.chain.hex(),
            "digest": machine.digest.hex(),
            "torn_wal_frames": self._directory.scan_state_wal().unused,
        }

    def _look_at_both(self) -> Facts:
        if self._journal is None or self._machine is None:
            raise StartRefused("not looked at: one of them cannot be read")
        check_state_against_journal(self._machine.applied_index, self._machine.applied_term, self._journal)
        return {"entries_to_replay": self._journal.last_index - self._machine.applied_index}


def telling(tell: Callable[[str], None]) -> Watch:
    """A watch that tells now and then how many rows have gone by."""
    seen, told = 0, time.monotonic()

    def watch(rows: Rows) -> Iterator[tuple[object, ...]]:
        nonlocal seen, told
        for row in rows:
            yield row
            seen += 1
            if seen % 10_000 == 0 and time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                tell(f"{seen:,} rows of the state checked")

    return watch


def is_whole(findings: list[Finding]) -> bool:
    """Whether nothing is wrong."""
    return not any(finding.problem for finding in findings)


def as_json(node: str, findings: list[Finding]) -> str:
    """For programs."""
    parts = {finding.part: {**finding.facts, "problem": finding.problem} for finding in findings}
    return json.dumps({"node": node, "whole": is_whole(findings), "parts": parts}, indent=2)


def as_text(node: str, findings: list[Finding]) -> str:
    """For people."""
    lines = [f"{finding.part:<21}  {_verdict(finding)}" for finding in findings]
    return "\n".join([*lines, f"{node} is {'whole' if is_whole(findings) else 'NOT whole'}"])


def _verdict(finding: Finding) -> str:
    if finding.problem is not None:
        return finding.problem
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value}"
        for name, value in finding.facts.items()
    )
