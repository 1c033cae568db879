"""What holds for all tests: they run on the sources, unless COMPILED=1 asks for what was compiled of them."""

import os

import pytest
from hypothesis import HealthCheck, settings
from support.interpreted import prefer_sources

COMPILED = os.environ.get("COMPILED") == "1"

if not COMPILED:
    prefer_sources()

# How long an example takes says how fast the machine is, and nothing of what is promised.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what replaces a constant or a function that compiled code has built in."""
    for item in items:
        if COMPILED and item.get_closest_marker("interpreted"):
            item.add_marker(pytest.mark.skip(reason="replaces what compiled code has built in"))
