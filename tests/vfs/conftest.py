"""Fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.memory_folder import memory_folder

from lastunit_node.wal import grow


@pytest.fixture(scope="module", autouse=True)
def _short_wal() -> Iterator[None]:
    """Grown at the start like the real one, and shorter than it becomes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grow, "GROWN_BYTES", 70_000)
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, fast."""
    with memory_folder() as made:
        yield made
