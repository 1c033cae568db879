"""Shops for the stories."""

import pytest

from .shop import Shop


@pytest.fixture
def shop() -> Shop:
    """Ten vases and five bowls; holds last 3 ticks (at most 10), closed ids are remembered for 5."""
    shop = Shop()
    shop.receive("delivery", vase=10, bowl=5)
    return shop
