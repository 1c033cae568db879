"""The scan of a -wal: a flipped byte is found, and no end that a crash leaves is taken for damage.

The one place where a flipped byte is not told from a torn write is a page of the last transaction, and the second
checksum before it, which one byte at the end of an older page changes as little.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.memory_folder import memory_folder
from support.wal_files import (
    FRAME,
    flipped,
    frames_used_by_sqlite,
    in_the_other_byte_order,
    wal_of,
    write_log,
)

from lastunit_node.wal.layout import FRAME_HEADER_BYTES, HEADER_BYTES
from lastunit_node.wal.scan import WalScan, scan_wal

TRANSACTIONS = (1, 1, 2)
SECTOR = 512


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder / "a.db"


@pytest.fixture(scope="module")
def log(path: Path) -> bytes:
    return write_log(path, TRANSACTIONS)


@pytest.fixture(scope="module")
def log_over_an_earlier_one(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_log(tmp_path_factory.mktemp("wal") / "a.db", (1, 2, 1), earlier=6)


def scanned(path: Path, data: bytes, synchronous: str = "FULL") -> WalScan:
    wal_of(path).write_bytes(data)
    return scan_wal(path, synchronous=synchronous)


def commits(data: bytes) -> list[int]:
    """Numbers, from 1, of the frames that end a transaction."""
    starts = range(HEADER_BYTES, len(data), FRAME)
    return [number for number, start in enumerate(starts, 1) if any(data[start + 4 : start + 8])]


def test_a_whole_log_is_used_to_its_end(path: Path, log: bytes) -> None:
    frames = (len(log) - HEADER_BYTES) // FRAME
    assert len(commits(log)) == len(TRANSACTIONS)
    assert scanned(path, log) == WalScan(used=frames)
    assert frames_used_by_sqlite(path, log) == frames


def test_both_byte_orders(path: Path, log: bytes) -> None:
    other = in_the_other_byte_order(log)
    assert other[:4] != log[:4]
    assert scanned(path, other) == scanned(path, log)
    assert frames_used_by_sqlite(path, other) == scanned(path, log).used
    assert scanned(path, flipped(other, 3 * FRAME)).damage


def test_no_log_is_no_damage(tmp_path: Path) -> None:
    assert scan_wal(tmp_path / "a.db", synchronous="FULL") == WalScan()
    assert scanned(tmp_path / "a.db", b"") == WalScan()


def may_be_torn(log: bytes, position: int) -> bool:
    """Whether a byte is in a page of the last transaction, or in the second checksum before it."""
    place = (position - HEADER_BYTES) % FRAME
    return position >= HEADER_BYTES + commits(log)[-2] * FRAME and place >= FRAME_HEADER_BYTES - 4


def test_every_flipped_byte_is_found(path: Path, log: bytes) -> None:
    """In all transactions but the last; and in what of that may be torn, the log ends before it."""
    for position in range(len(log)):
        scan = scanned(path, flipped(log, position))
        assert scan.damage or may_be_torn(log, position), position
        assert scan.damage or scan.used == commits(log)[-2], position


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**9), mask=st.integers(1, 255), swap=st.booleans())
def test_however_it_was_flipped(path: Path, log: bytes, at: int, mask: int, swap: bool) -> None:
    data = in_the_other_byte_order(log) if swap else log
    position = at % len(data)
    assert scanned(path, flipped(data, position, mask)).damage or may_be_torn(data, position)


def test_a_wiped_sector_is_found_when_two_transactions_follow(path: Path) -> None:
    """One would do, unless the sector has the commit mark: then both look like one transaction, torn."""
    log = write_log(path.with_name("long.db"), (2, 3, 1, 1, 2, 1))
    last = HEADER_BYTES + commits(log)[-3] * FRAME
    for start in range(0, last - SECTOR, SECTOR):
        wiped = log[:start] + bytes(SECTOR) + log[start + SECTOR :]
        assert scanned(path, wiped).damage, start


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_a_log_may_be_torn_off_anywhere(path: Path, log: bytes, synchronous: str) -> None:
    for length in range(0, len(log), 7):
        scan = scanned(path, log[:length], synchronous)
        whole = max(0, length - HEADER_BYTES) // FRAME
        assert scan.damage is None
        assert scan.used == max((number for number in commits(log) if number <= whole), default=0)


def test_whatever_became_of_the_last_transactions_sectors(path: Path, log_over_an_earlier_one: bytes) -> None:
    """Each sector of the unsynced transaction is new, older, or was never written; the log goes on before it."""
    log = log_over_an_earlier_one
    ends = live_commits(log)
    before, end = HEADER_BYTES + ends[-2] * FRAME, HEADER_BYTES + ends[-1] * FRAME
    chance = random.Random(7)
    for _ in range(300):
        torn = bytearray(log)
        for start in range(before, end, SECTOR):
            old = chance.choice([None, bytes(SECTOR), chance.randbytes(SECTOR)])
            if old is not None:
                torn[start : min(start + SECTOR, end)] = old[: min(SECTOR, end - start)]
        scan = scanned(path, bytes(torn))
        assert scan.damage is None
        assert scan.used in {ends[-2], ends[-1]}


def live_commits(log: bytes) -> list[int]:
    """As `commits`, of the log that the header belongs to."""
    salts = log[16:24]
    return [number for number in commits(log) if log[HEADER_BYTES + (number - 1) * FRAME + 8 :][:8] == salts]


def test_what_an_earlier_log_left_behind_the_end_does_not_matter(path: Path, log_over_an_earlier_one: bytes) -> None:
    log = log_over_an_earlier_one
    used = live_commits(log)[-1]
    assert used < commits(log)[-1], "the earlier log is longer"
    assert scanned(path, log) == WalScan(used=used)
    for position in range(HEADER_BYTES + used * FRAME, len(log), 11):
        assert scanned(path, flipped(log, position)) == WalScan(used=used)
    for position in range(0, HEADER_BYTES + live_commits(log)[-2] * FRAME, 11):
        assert scanned(path, flipped(log, position)).damage


def test_unsynced_commits_may_be_torn_in_the_middle(path: Path, log: bytes) -> None:
    """With synchronous=NORMAL, a power loss leaves any of them; what is before the first gap is a right state."""
    first, *_ = commits(log)
    gap = HEADER_BYTES + first * FRAME
    torn = log[:gap] + bytes(FRAME) + log[gap + FRAME :]
    frames = (len(log) - HEADER_BYTES) // FRAME
    assert scanned(path, torn, "NORMAL") == WalScan(used=first, unused=frames - first - 1)
    assert scanned(path, torn, "FULL").damage
    assert scanned(path, flipped(log, 20), "NORMAL").damage, "the header is synced before any frame"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**9), st.binary(min_size=1, max_size=40)), min_size=1, max_size=4))
def test_sqlite_finds_what_the_scan_says(path: Path, log: bytes, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(log)
    for position, change in changes:
        start = position % len(data)
        data[start : start + len(change)] = change[: len(data) - start]
    scan = scanned(path, bytes(data), "NORMAL")
    assert scan.damage is not None or frames_used_by_sqlite(path, bytes(data)) == scan.used
