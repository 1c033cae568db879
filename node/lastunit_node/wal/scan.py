"""Tells a damaged -wal from one that merely ends in a torn transaction, by evidence that no crash leaves.

With synchronous=FULL every transaction is synced before the next one writes its first frame, and the header before any
frame. SQLite's log ends at the first frame that fails its check; there, this is damage:

- a bad header with frames after it (anything but zeros: see grow.py);
- frames of this log behind the end of a transaction: that one was synced, bad frame and all;
- a bad frame whose own header is off by one byte, everything else being right: that may be the very mark which ends a
  transaction, or the salts that tell whose the frame is.

Everything else is a torn end: frames of an earlier log (other salts), missing ones, the last transaction in any state.
What cannot be told from it is a synced end that is cut off, or a last transaction whose pages are damaged. Not even one
flipped byte tells: a process killed between a frame's header and its page leaves an older page there, which was seen to
differ in one byte only (tests/vfs); where that byte is among the page's last four, it shows as one byte of the second
checksum, which therefore tells nothing either. check_state_against_journal finds it where the state had applied what is
gone.

With synchronous=NORMAL frames of many transactions may be unsynced at once, and a crash can leave any of them: only the
header is evidence. The state lives with that: any prefix of its transactions is a right state, the journal replays
the rest, and its digest tells a mixture from a state.

All this holds while no frame of an earlier opening is left behind the log's end with the same salts: whoever opens the
file empties it by a checkpoint before the first write. (SQLite fills no sector up with copies of the last frame where
the file system is taken for power-safe, its default.)
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from lastunit_node.wal.checksum import Sums, between, extend, retract
from lastunit_node.wal.layout import HEADER_BYTES, Frame, Header, read_frames, read_header

CHECKPOINT: Final = "PRAGMA wal_checkpoint(TRUNCATE)"  # leaves the -wal empty


class WalScan(NamedTuple):
    """What SQLite will find in a -wal."""

    used: int = 0  # frames up to the last commit before the log's end
    unused: int = 0  # frames of this log that are behind it: torn, or of a transaction that was not committed
    damage: str | None = None  # evidence that synced frames would be lost


def wal_of(database: Path) -> Path:
    """Where the -wal of a database is."""
    return database.with_name(f"{database.name}-wal")


def scan_wal(database: Path, *, synchronous: str) -> WalScan:
    """Scan the -wal of a database that is not open; synchronous: FULL or NORMAL, as it was written. Raises OSError."""
    try:
        data = wal_of(database).read_bytes()
    except FileNotFoundError:
        return WalScan()
    if len(data) <= HEADER_BYTES:
        return WalScan()
    header = read_header(data)
    if header is None and not any(data[HEADER_BYTES:]):  # no frame was ever written (grow.py)
        return WalScan()
    if header is None:
        return WalScan(damage=f"{wal_of(database)} has a damaged header")
    used, unused, damage = _follow(header, list(read_frames(data, header)))
    if damage is not None and synchronous == "FULL":
        return WalScan(used, unused, f"{wal_of(database)} is damaged {damage}")
    return WalScan(used, unused)


def _follow(header: Header, frames: list[Frame]) -> WalScan:
    """Follow the running checksum to where it breaks, and judge what is there."""
    sums, used = header.sums, 0
    for position, frame in enumerate(frames):
        after = extend(extend(sums, frame.head, header.order), frame.page, header.order)
        if after != frame.sums or frame.salts != header.salts:
            behind = sum(each.salts == header.salts for each in frames[used:])
            is_damaged = _goes_on_after_a_commit(header, frames[position:]) or _has_a_bad_header(header, frame, sums)
            return WalScan(used, behind, f"at frame {position + 1} of {len(frames)}" if is_damaged else None)
        sums = after
        used = position + 1 if frame.commits else used
    return WalScan(used, len(frames) - used)


def _goes_on_after_a_commit(header: Header, frames: Iterable[Frame]) -> bool:
    """Whether frames of this log stand behind one that ends a transaction."""
    ours = [frame.commits for frame in frames if frame.salts == header.salts]
    return any(ours[:-1])


def _has_a_bad_header(header: Header, frame: Frame, before: Sums) -> bool:
    """Whether a frame that fails its check would pass it with one byte of its header changed."""
    order = header.order
    after = extend(extend(before, frame.head, order), frame.page, order)
    right_head = between(before, retract(frame.sums, frame.page, order), order)
    return (
        (after == frame.sums and _are_close(frame.salts, header.salts))
        or (frame.salts == header.salts and after[1] == frame.sums[1] and _is_close(after[0], frame.sums[0]))
        or (frame.salts == header.salts and _are_close(right_head, frame.head))
    )


def _are_close(one: bytes, other: bytes) -> bool:
    """Whether all bytes but one are the same."""
    return sum(mine != theirs for mine, theirs in zip(one, other, strict=True)) == 1


def _is_close(one: int, other: int) -> bool:
    return _are_close(one.to_bytes(4, "big"), other.to_bytes(4, "big"))
