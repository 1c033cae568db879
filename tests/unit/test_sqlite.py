"""What sqlite.py adds to apsw."""

import os
from pathlib import Path

import pytest

from lastunit_node import sqlite


def test_a_long_statement_leaves_the_processor_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite.connect(tmp_path / "some.db")
    left: list[bool] = []
    monkeypatch.setattr(os, "sched_yield", lambda: left.append(True))
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)"
    question = f"{numbers} SELECT max(n) FROM numbers"
    assert sqlite.only_row(connection, question) == (10_000,)
    assert not left
    sqlite.give_way(connection)
    assert sqlite.only_row(connection, question) == (10_000,)
    assert len(left) > 10


@pytest.mark.parametrize("begins_again_at", [1 << 31, 1 << 32])
def test_checkpoints_go_on_when_the_count_of_pages_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins_again_at: int
) -> None:
    """It does after 2^32 pages, some weeks under load: the -wal then grew for as many again."""
    connection = sqlite.connect(tmp_path / "some.db")
    made: list[int] = []

    def checkpoint(_connection: sqlite.Connection) -> bool:
        made.append(written)
        return True

    monkeypatch.setattr(sqlite, "checkpoint", checkpoint)
    written = begins_again_at - 3
    monkeypatch.setattr(sqlite.Checkpoints, "_written_so_far", lambda _self: written % begins_again_at)
    checkpoints = sqlite.Checkpoints(connection, pages=10)
    for _ in range(25):
        written += 1
        checkpoints.after_commit()
    assert made == [begins_again_at + 7, begins_again_at + 17]
