"""What our own code does to plain files of one folder, put into the same history as what SQLite does to its files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pytest

from support.recording_vfs import Op, Recorder


class _RecordedFile:
    """As much of an open file as our code uses for writing."""

    def __init__(self, file: IO[Any], recorder: Recorder) -> None:
        self._file = file
        self._recorder = recorder
        self._size = 0
        self.flush = file.flush
        self.fileno = file.fileno

    def write(self, data: bytes | str) -> int:
        as_bytes = data.encode() if isinstance(data, str) else bytes(data)
        self._recorder.note(Op("write", Path(self._file.name).name, self._size, as_bytes))
        self._size += len(as_bytes)
        self._file.write(data)
        return len(as_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class _Recording:
    """Path and os, each call passed on and noted."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self._folder = folder
        self._recorder = recorder
        self._open, self._rename, self._replace, self._unlink = Path.open, Path.rename, Path.replace, Path.unlink
        self._fsync = os.fsync

    def start(self, patch: pytest.MonkeyPatch) -> None:
        """From here on."""
        patch.setattr(Path, "open", lambda path, mode="r", **rest: self.open(path, mode, **rest))
        patch.setattr(Path, "rename", lambda path, target: self.move(self._rename, path, target))
        patch.setattr(Path, "replace", lambda path, target: self.move(self._replace, path, target))
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: self.unlink(path, missing_ok))
        patch.setattr(os, "fsync", self.fsync)

    def open(self, path: Path, mode: str = "r", **rest: Any) -> Any:
        file = self._open(path, mode, **rest)
        if path.parent != self._folder or "r" in mode:
            return file
        assert mode in {"w", "wb"}, f"not recorded: {mode}"
        self._recorder.note(Op("truncate", path.name))
        return _RecordedFile(file, self._recorder)

    def move(self, really: Any, path: Path, target: Path) -> Path:
        moved: Path = really(path, target)
        if path.parent == self._folder:
            self._recorder.note(Op("rename", path.name, to=target.name))
        return moved

    def unlink(self, path: Path, missing_ok: bool) -> None:
        if path.parent == self._folder and path.exists():
            self._recorder.note(Op("delete", path.name))
        self._unlink(path, missing_ok=missing_ok)

    def fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == self._folder:
            self._recorder.directory_synced()
        elif path.parent == self._folder:
            self._recorder.note(Op("sync", path.name))


@contextmanager
def recorded_files(recorder: Recorder, folder: Path) -> Iterator[None]:
    """What pathlib and os.fsync do to files that lie in `folder` is recorded."""
    with pytest.MonkeyPatch.context() as patch:
        _Recording(folder.resolve(), recorder).start(patch)
        yield
