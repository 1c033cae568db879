"""What arrives from a peer is a copy, or it is refused; and a copy that came too late changes nothing."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lastunit.v1 import catchup_pb2 as pb
from lastunit_node import catchup
from lastunit_node.catchup import ArrivedCopy, CatchUp, install, receive
from lastunit_node.copies import CopyInfo, CopyRefused, NoRoom, require_room
from lastunit_node.datadir import DataDirectory, format_directory

INFO = CopyInfo(8, 1, 6, b"hash")


async def stream(*chunks: bytes, header: bool = True, for_ever: bool = False) -> AsyncIterator[pb.CopyStateResponse]:
    if header:
        yield pb.CopyStateResponse(header=pb.CopyHeader(**INFO._asdict()))
    for chunk in chunks:
        yield pb.CopyStateResponse(chunk=chunk)
    if for_ever:
        await asyncio.Event().wait()


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    format_directory(tmp_path / "n1", "test", "cluster-id", ("n1", "n2", "n3"), "n1")
    return DataDirectory(tmp_path / "n1", "test", ("n1", "n2", "n3"), "n1")


async def test_the_bytes_are_written_in_order(tmp_path: Path) -> None:
    assert await receive(stream(b"abc", b"de", b"f"), tmp_path / "copy") == INFO
    assert (tmp_path / "copy").read_bytes() == b"abcdef"


async def test_more_than_was_announced_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CopyRefused, match="more than the 6 bytes"):
        await receive(stream(b"abc", b"defg"), tmp_path / "copy")


async def test_a_stream_without_a_header_brings_nothing(tmp_path: Path) -> None:
    assert (await receive(stream(header=False), tmp_path / "copy")).size == 0


@pytest.mark.parametrize("chunks", [(), (b"abc",)])
async def test_a_stream_that_falls_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(catchup, "SILENCE_SECONDS", 0.05)
    with pytest.raises(TimeoutError, match=r"nothing arrived for 0\.05 s"):
        await receive(stream(*chunks, header=bool(chunks), for_ever=True), tmp_path / "copy")


async def test_a_sender_that_is_still_making_the_copy_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def slow() -> AsyncIterator[pb.CopyStateResponse]:
        nonlocal now
        for _ in range(5):
            now += 0.9 * catchup.SILENCE_SECONDS
            await asyncio.sleep(0)
            yield pb.CopyStateResponse()
        async for part in stream(b"abcdef"):
            yield part

    assert await receive(slow(), tmp_path / "copy") == INFO


async def test_a_copy_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 11

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage)
    require_room(tmp_path, 5)
    with pytest.raises(NoRoom, match="6 bytes has no room"):
        await receive(stream(b"abcdef"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_every_other_attempt_asks_another_peer(directory: DataDirectory) -> None:
    """The leader's own state may be what is damaged."""
    fetching = CatchUp(directory, None, {"n1": "", "n2": "", "n3": "", "n4": ""})  # type: ignore[arg-type]
    assert [fetching._source("n3", attempt) for attempt in range(5)] == ["n3", "n2", "n3", "n4", "n3"]


class Behind:
    """A replica that lags behind the log of n2 from its third look on, and has applied index 7."""

    looks = 0

    def status(self) -> Any:
        self.looks += 1
        return SimpleNamespace(
            is_behind=self.looks > 2, leader=None if self.looks == 3 else "n2", applied_index=INFO.applied_index - 1
        )


async def test_a_copy_is_fetched_once_it_is_needed_and_again_until_one_is_whole(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, addresses = Behind(), {"n1": "one", "n2": "two", "n3": "three"}
    monkeypatch.setattr(catchup, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(catchup, "RETRY_SECONDS", 0.0)
    arriving: Iterator[CopyInfo | Exception] = iter(
        [CopyRefused("damaged"), INFO._replace(applied_index=7), TimeoutError("silent"), INFO]
    )
    asked: list[str] = []

    async def download(address: str, target: Path) -> CopyInfo:
        assert replica.looks > 3, "there is no need yet, or nobody to ask"
        asked.append(address)
        info = next(arriving)
        if isinstance(info, Exception):
            raise info
        return info

    adopted: list[tuple[Path, Path, CopyInfo]] = []
    monkeypatch.setattr(catchup, "adopt_copy", lambda *what: adopted.append(what[:3]))
    fetching = CatchUp(directory, replica, addresses)  # type: ignore[arg-type]
    monkeypatch.setattr(fetching, "_download", download)
    assert await fetching.fetch() == ArrivedCopy("state-8.db", INFO)
    assert asked == ["two", "three", "two", "three"], "the second one was of what is applied here already"
    assert adopted == [(directory.arriving_copy, directory.copied_state(8), INFO)]


@pytest.mark.parametrize(("applied", "expected"), [(7, True), (8, False), (9, False)])
def test_a_copy_that_is_not_ahead_any_more_is_not_installed(
    directory: DataDirectory, applied: int, expected: bool
) -> None:
    directory.open_journal().close()
    copied = directory.copied_state(INFO.applied_index)
    copied.write_bytes(b"")
    assert install(directory, ArrivedCopy(copied.name, INFO), applied) is expected
    journal = directory.open_journal()
    assert journal.state_file == (copied.name if expected else "state.db")
    assert journal.first_index == (8 if expected else 0)
    journal.close()
