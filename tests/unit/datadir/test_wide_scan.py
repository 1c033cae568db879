"""A large state is read by several processes: what they find together is what one would find."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import psutil
import pytest

from lastunit_node import sqlite, wide_scan
from lastunit_node.cli.processes import is_dead, wait_until
from lastunit_node.config import ClusterConfig
from lastunit_node.damage import unreadable_is
from lastunit_node.datadir import DataDirectory
from lastunit_node.statemachine.database import open_reader
from lastunit_node.statemachine.errors import StateDamaged
from lastunit_node.statemachine.tables import scan_digest
from lastunit_node.wide_scan import ScanEnded, WideScan


@pytest.fixture
def reader(path: Path) -> Iterator[sqlite.Connection]:
    with closing(open_reader(path / "state.db")) as connection:
        yield connection


def digest_by(shares: int, reader: sqlite.Connection, path: Path) -> bytes:
    with WideScan(path / "state.db", shares) as scan:
        return scan.digest(reader)


@pytest.mark.parametrize("shares", [1, 2, 3])
def test_all_shares_together_have_the_digest_that_was_kept(reader: sqlite.Connection, path: Path, shares: int) -> None:
    (kept,) = sqlite.only_row(reader, "SELECT digest FROM state")
    assert digest_by(shares, reader, path) == scan_digest(reader) == kept


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE reservations SET units = '[]' WHERE reservation_id = 'order-7'",
        "UPDATE reservations SET units = '[]' WHERE reservation_id = 'order-8'",
        "DELETE FROM stock_changes WHERE kind = 'receipt'",
        "UPDATE stock SET received = received + 1, sold = sold + 1 WHERE sku = 'vase'",
        "UPDATE stock SET last = last - 1 WHERE sku = 'lamp'",
        "UPDATE available_units SET last = last - 1",
        "DELETE FROM removed_units",
    ],
)
def test_a_row_that_changed_is_found_whichever_share_it_is_in(
    reader: sqlite.Connection, path: Path, damage: str
) -> None:
    (kept,) = sqlite.only_row(reader, "SELECT digest FROM state")
    with closing(sqlite.connect(path / "state.db")) as writer:
        writer.execute(damage)
        assert writer.changes() == 1
    assert digest_by(2, reader, path) != kept


def test_a_large_state_is_read_wide_before_it_is_served(
    config: ClusterConfig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide_scan, "WIDE_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with WideScan(path / "state.db") as scan:
        assert len(scan.processes) == 3
    open_and_close(config)

    with closing(sqlite.connect(path / "state.db")) as writer:
        writer.execute("UPDATE reservations SET units = '[]' WHERE reservation_id = 'order-7'")
    with pytest.raises(StateDamaged, match="its rows do not have the digest"):
        open_and_close(config)


@pytest.mark.parametrize("shares", [1, 2])
def test_an_index_that_missed_a_change_is_found(path: Path, shares: int) -> None:
    name = "reservations_by_expiry"
    with closing(sqlite.connect(path / "state.db")) as writer:
        row = sqlite.only_row(writer, "SELECT * FROM sqlite_schema WHERE name = ?", (name,))
        writer.execute("PRAGMA writable_schema = ON")
        writer.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
    with closing(sqlite.connect(path / "state.db")) as writer:  # which knows of no such index
        writer.execute("UPDATE reservations SET rowid = 1000 WHERE state = 1")
        writer.execute("PRAGMA writable_schema = ON")
        writer.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
    with closing(open_reader(path / "state.db")) as reader, WideScan(path / "state.db", shares) as scan:
        assert scan.problem_of_indexes(reader) == f"{name} does not fit its table"


def open_and_close(config: ClusterConfig) -> None:
    directory = DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1")
    try:
        directory.open_journal(read_only=True).close()
        directory.open_state().close()
    finally:
        directory.close()


def test_rows_that_cannot_be_read_are_an_error_of_the_database(path: Path, reader: sqlite.Connection) -> None:
    (root,) = sqlite.only_row(reader, "SELECT rootpage FROM sqlite_schema WHERE name = 'reservations'")
    (size,) = sqlite.only_row(reader, "PRAGMA page_size")
    with closing(sqlite.connect(path / "state.db")) as writer:
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (path / "state.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(sqlite.Error, match=r"rows cannot be read: the checksum of a page is not that of what is in it"):
        digest_by(2, reader, path)


@pytest.mark.parametrize(
    ("process", "error", "message"),
    [
        ("os.kill(os.getpid(), 9)", ScanEnded, "ended by SIGKILL .*start the node again"),
        ("sys.exit(1)", ScanEnded, "ended by status 1"),
        ("sys.stdout.write('disk I/O error'); sys.exit(74)", OSError, "disk I/O error"),
    ],
)
def test_a_process_that_is_ended_or_cannot_read_the_disk_says_nothing_of_the_rows(
    path: Path,
    reader: sqlite.Connection,
    monkeypatch: pytest.MonkeyPatch,
    process: str,
    error: type[OSError],
    message: str,
) -> None:
    def begin(_path: Path, *_share: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", f"import os, sys; {process}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(wide_scan, "_begin", begin)
    with pytest.raises(error, match=message), unreadable_is(StateDamaged, path):
        digest_by(2, reader, path)


@pytest.mark.parametrize(
    ("problem", "status"),
    [(apsw.SQLITE_IOERR, wide_scan.DISK_FAILED_EXIT), (apsw.SQLITE_CORRUPT, wide_scan.UNREADABLE_EXIT)],
)
def test_a_process_tells_damage_from_a_disk_that_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, problem: int, status: int
) -> None:
    def cannot_read(_path: Path) -> sqlite.Connection:
        raise apsw.exception_for(problem)

    monkeypatch.setattr(wide_scan, "open_reader", cannot_read)
    assert wide_scan.main([str(path / "state.db")]) == status


def test_no_process_outlives_the_block(path: Path) -> None:
    with WideScan(path / "state.db", 2) as scan:
        processes = scan.processes
    assert len(processes) == 3
    assert all(process.returncode is not None for process in processes)


READER = """
import os, signal
from lastunit_node.wide_scan import end_with
end_with(os.getppid())
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READER!r}])"


def is_gone(process: psutil.Process) -> bool:
    try:
        return is_dead(process)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_one_that_began_it(end: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        reader = psutil.Process(int(parent.stdout.readline()))
        try:
            parent.send_signal(end)
            assert wait_until(lambda: is_gone(reader), 10)
        finally:
            parent.kill()
            with suppress(psutil.NoSuchProcess):
                reader.kill()
        assert parent.communicate()[1] == b""


def test_a_process_whose_parent_has_ended_already_does_nothing(path: Path) -> None:
    program = [sys.executable, "-m", wide_scan.__name__, "1", str(path / "state.db"), "0", "2"]
    done = subprocess.run(program, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
