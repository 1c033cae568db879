"""What gRPC is asked for by name: a name that it does not know, it ignores in silence."""

from importlib.resources import files

import pytest

from lastunit_client import channel
from lastunit_node.frontend import frontend

NAMES = {name for options in (frontend.OPTIONS, channel._OPTIONS) for name, _ in options}


@pytest.fixture(scope="module")
def library() -> bytes:
    (core,) = [
        file for file in files("grpc._cython").iterdir() if file.name.startswith("cygrpc.") and "so" in file.name
    ]
    return core.read_bytes()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_grpc_knows_the_option(name: str, library: bytes) -> None:
    assert name.encode() + b"\0" in library
