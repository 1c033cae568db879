"""Pages of the state's file: a byte that goes bad in any of them while a node runs is found when it is read."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.wal_files import flipped, with_checksum

from lastunit_node import sqlite
from lastunit_node.statemachine.database import Identity, open_reader, open_state
from lastunit_node.statemachine.errors import StateDamaged

IDENTITY = Identity("cluster", "n1")
PAGE_BYTES = 4096
RESERVED = 20  # where the header says how many a page has at its end
SAYS = "the checksum of a page is not that of what is in it"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite.Connection]:
    """The connection of a state of several pages, all of them in its file."""
    with closing(open_state(path, identity=IDENTITY)) as connection:
        skus = [(f"s{number}",) for number in range(1_000)]
        connection.executemany("INSERT INTO stock VALUES (?, 1, 1, 0, 0, 0, 1, 1)", skus)
        assert sqlite.checkpoint(connection)
        yield connection


def test_every_page_has_the_checksum_of_what_is_in_it(writer: sqlite.Connection, path: Path) -> None:
    data = path.read_bytes()
    pages = [data[start : start + PAGE_BYTES] for start in range(0, len(data), PAGE_BYTES)]
    assert len(pages) > 10
    assert [number for number, page in enumerate(pages) if page != with_checksum(page)] == []


def test_a_byte_that_goes_bad_in_any_page_is_found_by_who_reads_it(writer: sqlite.Connection, path: Path) -> None:
    data = path.read_bytes()
    for start in range(PAGE_BYTES, len(data), PAGE_BYTES):
        path.write_bytes(flipped(data, start + random.Random(start).randrange(PAGE_BYTES)))
        with closing(open_reader(path)) as reader, pytest.raises(sqlite.Error) as found:
            sqlite.only_row(reader, "SELECT count(*) FROM dbstat")  # reads every page
        assert sqlite.is_unreadable(found.value)
        assert not sqlite.has_disk_failed(found.value)
        assert sqlite.say(found.value) == SAYS


def test_what_was_in_memory_when_it_went_bad_is_found_when_it_is_read_again(
    writer: sqlite.Connection, path: Path
) -> None:
    """Readers keep pages. They let go of them when the writer has been there."""
    with closing(open_reader(path)) as reader:
        question = "SELECT received FROM stock WHERE sku = 's77'"
        assert sqlite.only_row(reader, question) == (1,)
        data = path.read_bytes()
        position = data.rindex(b"s77")
        with path.open("r+b") as file:
            file.seek(position)
            file.write(b"S")
        writer.execute("UPDATE clock SET ticks = ticks + 1")
        with pytest.raises(sqlite.Error) as found:
            sqlite.only_row(reader, question)
    assert sqlite.say(found.value) == SAYS


def test_a_state_without_checksums_is_refused(writer: sqlite.Connection, path: Path) -> None:
    writer.close()
    data = bytearray(path.read_bytes())
    data[RESERVED] = 0
    path.write_bytes(data)
    with pytest.raises(StateDamaged, match="says that its pages have no checksums"):
        open_state(path, identity=IDENTITY)
