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
