"""CopyState: a copy that takes long to make and to send is waited for, and the log behind it is kept that long."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from lastunit.v1 import catchup_pb2 as pb
from lastunit_node.copies import CopyInfo, NoRoom, NotCopied, SourceDamaged
from lastunit_node.frontend import catchup
from lastunit_node.frontend.catchup import CatchUpService, StateFiles

from .fakes import STATUS, FakeReplica

INFO = CopyInfo(8, 1, 6, b"hash")


class Aborted(Exception):
    """The call ended with this code and message."""


class Context:
    def time_remaining(self) -> None:
        """No limit."""

    async def abort(self, code: grpc.StatusCode, details: str, _trailing_metadata: object) -> None:
        raise Aborted(code, details)


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


async def test_the_log_is_kept_from_before_the_copy_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replica = Holding()
    monkeypatch.setattr(catchup, "LIFE_SECONDS", 5.0)
    held: list[list[int]] = []

    def make(_state: Path, target: Path) -> CopyInfo:
        held.append(list(replica.holds))
        target.write_bytes(b"abcdef")
        return INFO

    monkeypatch.setattr(catchup, "make_copy", make)
    assert [part async for part in copying(replica, tmp_path)]
    assert held == [[STATUS.applied_index]]


async def test_a_disk_without_room_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def make(_state: Path, _target: Path) -> CopyInfo:
        raise NoRoom("a copy has no room")

    monkeypatch.setattr(catchup, "make_copy", make)
    with pytest.raises(Aborted) as aborted:
        await anext(copying(Holding(), tmp_path))
    assert aborted.value.args == (grpc.StatusCode.FAILED_PRECONDITION, "a copy has no room")


async def test_a_source_that_is_damaged_stops_its_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    problem = ValueError("malformed")

    def make(_state: Path, _target: Path) -> CopyInfo:
        raise SourceDamaged from problem

    monkeypatch.setattr(catchup, "make_copy", make)
    replica = Holding()
    with pytest.raises(Aborted) as aborted:
        await anext(copying(replica, tmp_path))
    assert aborted.value.args[0] is grpc.StatusCode.UNAVAILABLE
    assert replica.failed == [problem]


async def test_a_system_that_refuses_is_no_bug_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def make(_state: Path, _target: Path) -> CopyInfo:
        raise NotCopied("unable to open database file")

    monkeypatch.setattr(catchup, "make_copy", make)
    replica = Holding()
    with pytest.raises(Aborted, match="unable to open database file") as aborted:
        await anext(copying(replica, tmp_path))
    assert aborted.value.args[0] is grpc.StatusCode.UNAVAILABLE
    assert replica.failed == []


async def test_a_source_that_is_damaged_stops_its_node_also_when_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    may_end, problem = threading.Event(), ValueError("malformed")

    def make(_state: Path, _target: Path) -> CopyInfo:
        may_end.wait(5)
        raise SourceDamaged from problem

    monkeypatch.setattr(catchup, "make_copy", make)
    monkeypatch.setattr(catchup, "LIFE_SECONDS", 0.01)
    replica = Holding()
    parts = copying(replica, tmp_path)
    await anext(parts)
    giving_up = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(0)
    giving_up.cancel()
    may_end.set()
    await asyncio.wait([giving_up])
    assert giving_up.cancelled()
    assert replica.failed == [problem]


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
