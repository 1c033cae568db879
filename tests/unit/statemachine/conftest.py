"""Shops for the stories, and an empty database."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from lastunit_node import sqlite

from .shop import Shop, memory_database


@pytest.fixture
def connection() -> Iterator[sqlite.Connection]:
    """A state database that has its tables and no rows."""
    with closing(memory_database()) as connection:
        yield connection


@pytest.fixture
def shop() -> Shop:
    """Ten vases and five bowls; holds last 3 ticks (at most 10), closed ids are remembered for 5."""
    shop = Shop()
    shop.receive("delivery", vase=10, bowl=5)
    return shop
