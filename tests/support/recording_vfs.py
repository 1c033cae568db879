"""SQLite over a file layer that records what it writes, so that a power loss can be tried at every moment of it.

Our code opens its files with sqlite.connect; while `recorded` is on, that gives a connection which passes every write,
truncation, sync and deletion by a Recorder. The disk that a crash leaves is then rebuilt from these: what was synced is
there; what was not may be, or not, or half.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from lastunit_node import sqlite
from lastunit_node.replica import journal
from lastunit_node.wal import grow
from lastunit_node.wal.scan import wal_of

DIRECTORY = "."
SECTOR = 512
_names = itertools.count(1)


class Op(NamedTuple):
    """One thing that was done to a file."""

    kind: str  # write, truncate, sync, delete, rename
    file: str
    offset: int = 0  # for truncate: the new size
    data: bytes = b""
    to: str = ""  # for rename: the new name


class Recorder:
    """What was done to the files so far, and when which promise was made."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.promises: list[tuple[int, Any]] = []
        self.is_over = False

    def note(self, op: Op) -> None:
        """It was done, if the recording is not over."""
        if not self.is_over:
            self.ops.append(op)

    def promise(self, what: Any) -> None:
        """From here on, this must survive."""
        self.promises.append((len(self.ops), what))

    def directory_synced(self) -> None:
        """What was deleted stays deleted, what was renamed keeps its name."""
        self.note(Op("sync", DIRECTORY))

    def before_and_after(self, moment: int) -> tuple[Any, Any]:
        """The last promise made before op number `moment`, and the one under way (the same, when none is)."""
        made = [what for at, what in self.promises if at <= moment]
        under_way = [what for at, what in self.promises if at > moment]
        return made[-1], (under_way or made[-1:])[0]

    def last_sync(self, moment: int) -> dict[str, int]:
        """When each file was last synced before a moment."""
        return {op.file: number for number, op in enumerate(self.ops[:moment]) if op.kind == "sync"}

    def disk_after(self, moment: int, lost: Iterable[int] = (), *, torn: bool = False) -> dict[str, bytes]:
        """The files after a power loss before op number `moment`; of the unsynced ops, `lost` never reached the disk.

        torn: about half of the very last op did, in whole sectors: disks write a sector or leave it.
        """
        files: dict[str, bytearray] = {}
        lost = set(lost)
        for number, op in enumerate(self.ops[:moment]):
            if number in lost or op.kind == "sync":
                continue
            half = torn and number == moment - 1
            apply(op._replace(data=op.data[: half_in_sectors(op)]) if half else op, files)
        return {name: bytes(content) for name, content in files.items()}

    def unsynced(self, moment: int) -> list[int]:
        """Numbers of the ops that a power loss may undo, each or any of them."""
        synced = self.last_sync(moment)
        latest = {op.file: number for number, op in enumerate(self.ops[:moment])}

        def may_be_undone(number: int, op: Op) -> bool:
            if op.kind in {"delete", "rename"}:
                return number == latest[op.file] and number > synced.get(DIRECTORY, -1)
            return number > synced.get(op.file, -1)

        return [number for number, op in enumerate(self.ops[:moment]) if may_be_undone(number, op)]


def half_in_sectors(op: Op) -> int:
    """How many bytes of a write fill the sectors that begin in its first half."""
    middle = op.offset + len(op.data) // 2
    return min(len(op.data), middle - middle % -SECTOR - op.offset)


def apply(op: Op, files: dict[str, bytearray]) -> None:
    """Do to a disk in memory what was done to the real one."""
    if op.kind == "delete":
        files.pop(op.file, None)
        return
    if op.kind == "rename":
        files[op.to] = files.pop(op.file, bytearray())
        return
    content = files.setdefault(op.file, bytearray())
    if op.kind == "truncate":
        del content[op.offset :]
    else:
        content.extend(bytes(max(0, op.offset - len(content))))
        content[op.offset : op.offset + len(op.data)] = op.data


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._recorder = recorder
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path or "unnamed").name

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)  # first: the layer below puts the checksum of a page into these very bytes
        self._recorder.note(Op("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        self._recorder.note(Op("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._recorder.note(Op("sync", self._name))


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self.name = f"recording-{next(_names)}"
        super().__init__(self.name, "")
        self._recorder = recorder

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if Path(filename).exists():  # SQLite does not mind when it is gone, apsw does
            self._recorder.note(Op("delete", Path(filename).name))
            super().xDelete(filename, syncdir)


@contextmanager
def recorded(recorder: Recorder, *, checkpoint_pages: int) -> Iterator[None]:
    """sqlite.connect records; checkpoints come by themselves after so many pages, as SQLite's do after 1,000."""
    vfs = _Vfs(recorder)
    opened: list[apsw.Connection] = []

    def connect(path: str | Path, mode: str = "rwc", *, checksums: bool = True) -> apsw.Connection:
        assert checksums, "a state that was written here only has them"
        connection = apsw.Connection(str(path), flags=sqlite.FLAGS[mode], vfs=vfs.name)
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
        opened.append(connection)
        return connection

    def grow_wal(database: Path) -> None:
        wal = wal_of(database)
        size = wal.stat().st_size
        grow.grow_wal(database)
        recorder.note(Op("write", wal.name, size, wal.read_bytes()[size:]))
        recorder.note(Op("sync", wal.name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "connect", connect)
        patch.setattr(journal, "grow_wal", grow_wal)
        patch.setattr(journal, "CHECKPOINT_PAGES", checkpoint_pages)
        yield
    recorder.is_over = True
    for connection in opened:  # before the collector does, which takes the layer below away first
        connection.close()
    vfs.unregister()
