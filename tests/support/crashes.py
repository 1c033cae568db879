"""Every crash of a recorded history: each moment, with what was unsynced there, without some of it, torn in half."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.recording_vfs import Recorder

SUBSETS = 3  # of the unsynced writes, per moment


class Crash(NamedTuple):
    """A moment, and the files that it leaves."""

    moment: int
    story: str  # for the message of a failing test
    files: dict[str, bytes]

    def lay_out(self, folder: Path) -> None:
        """Make these the only files of a folder."""
        for old in folder.iterdir():
            old.unlink()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def crashes(recorder: Recorder, seed: int) -> Iterator[Crash]:
    """From the first promise on. Files that are the same as those of the crash before are left out."""
    chance = random.Random(seed)
    last: dict[str, bytes] = {}
    for moment in range(recorder.promises[0][0], len(recorder.ops) + 1):
        for crash in _crashes_at(recorder, moment, chance):
            if crash.files != last:
                last = crash.files
                yield crash


def _crashes_at(recorder: Recorder, moment: int, chance: random.Random) -> Iterator[Crash]:
    yield Crash(moment, f"op {moment}, all writes", recorder.disk_after(moment))
    unsynced = recorder.unsynced(moment)
    if not unsynced:
        return
    yield Crash(moment, f"op {moment}, the last one torn", recorder.disk_after(moment, torn=True))
    yield Crash(moment, f"op {moment}, nothing unsynced", recorder.disk_after(moment, unsynced))
    for _ in range(SUBSETS):
        lost = chance.sample(unsynced, chance.randint(1, len(unsynced)))
        yield Crash(moment, f"op {moment}, lost {sorted(lost)}", recorder.disk_after(moment, lost))
