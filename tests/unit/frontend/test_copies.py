"""CopyState: a copy that takes long to make and to send is waited for, and the log behind it is kept that long."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lastunit.v1 import catchup_pb2 as pb
from lastunit_node.copies import CopyInfo
from lastunit_node.frontend import catchup
from lastunit_node.frontend.catchup import CatchUpService, StateFiles

from .fakes import STATUS, FakeReplica

INFO = CopyInfo(8, 1, 6, b"hash")


class Context:
    def time_remaining(self) -> None:
        """No limit."""


class Maker:
    """Stands for make_copy."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def __call__(self, _state: Path, target: Path) -> CopyInfo:
        target.write_bytes(b"half")
        self.may_end.wait(5)
        target.write_bytes(b"abcdef")
        return INFO


class Holding(FakeReplica):
    def __init__(self) -> None:
        super().__init__()
        self.holds: list[int] = []

    def hold_log(self, index: int, seconds: float) -> None:
        self.holds.append(index)
        assert seconds == catchup.HOLD_SECONDS


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    maker = Maker()
    monkeypatch.setattr(catchup, "make_copy", maker)
    monkeypatch.setattr(catchup, "LIFE_SECONDS", 0.01)
    return maker


def copying(replica: FakeReplica, folder: Path) -> AsyncIterator[pb.CopyStateResponse]:
    files = StateFiles("cluster-id", folder / "state.db", folder / "copy.db")
    request = pb.CopyStateRequest(cluster_id="cluster-id")
    return CatchUpService(files, replica).CopyState(request.SerializeToString(), Context())  # type: ignore[arg-type]


async def test_signs_of_life_come_while_the_copy_is_made_and_the_log_is_kept(maker: Maker, tmp_path: Path) -> None:
    replica = Holding()
    parts = copying(replica, tmp_path)
    for _ in range(3):
        assert (await anext(parts)).WhichOneof("part") is None
    kept = len(replica.holds)
    assert kept >= 3
    maker.may_end.set()
    rest = [part async for part in parts if part.WhichOneof("part")]
    assert rest == [
        pb.CopyStateResponse(header=pb.CopyHeader(**INFO._asdict())),
        pb.CopyStateResponse(chunk=b"abcdef"),
    ]
    assert set(replica.holds) == {STATUS.applied_index}
    assert not (tmp_path / "copy.db").exists()


async def test_who_gives_up_meanwhile_leaves_no_file(maker: Maker, tmp_path: Path) -> None:
    parts = copying(Holding(), tmp_path)
    await anext(parts)
    giving_up = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(0)
    giving_up.cancel()
    maker.may_end.set()
    await asyncio.wait([giving_up])
    assert giving_up.cancelled()
    assert not (tmp_path / "copy.db").exists()
