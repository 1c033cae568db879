"""Fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.memory_folder import memory_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, fast."""
    with memory_folder() as made:
        yield made
