"""A copy of the state is used only when it is whole, and then it is the same state."""

from pathlib import Path

import pytest
from support.wal_files import flipped, with_checksum

from lastunit_node import sqlite
from lastunit_node.copies import CopyInfo, CopyRefused, NotCopied, SourceDamaged, adopt_copy, make_copy
from lastunit_node.statemachine.codec import NO_OP, encode_entry
from lastunit_node.statemachine.commands import Configure, Entry, Line, PlaceOrder, ReceiveStock
from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.wal.scan import wal_of

SOURCE, TARGET = Identity("cluster-id", "n1"), Identity("cluster-id", "n2")
ENTRIES = [
    NO_OP,
    encode_entry(Entry(1, 0, (Configure(100, 10, 100, 1_000, 10),))),
    encode_entry(Entry(2, 9, (ReceiveStock("delivery", (Line("vase", 10),)),))),
    *(encode_entry(Entry(3, 9, (PlaceOrder(f"order-{number}", (Line("vase", 1),)),))) for number in range(5)),
]


@pytest.fixture
def source(tmp_path: Path) -> StateMachine:
    """A state at index 8, whose writer is open."""
    machine = StateMachine(open_state(tmp_path / "source.db", identity=SOURCE))
    for index, entry in enumerate(ENTRIES, 1):
        machine.apply(index, 1, entry)
    machine.commit()
    return machine


@pytest.fixture
def copy(source: StateMachine, tmp_path: Path) -> tuple[Path, CopyInfo]:
    path = tmp_path / "copy.db"
    return path, make_copy(tmp_path / "source.db", path)


def test_an_adopted_copy_is_the_same_state_with_another_owner(
    source: StateMachine, copy: tuple[Path, CopyInfo]
) -> None:
    path, info = copy
    lasting = path.with_name("state-8.db")
    adopt_copy(path, lasting, info, TARGET)
    assert not path.exists()
    assert not wal_of(lasting).exists()
    adopted = StateMachine(open_state(lasting, identity=TARGET))
    assert (info.applied_index, info.applied_term) == (8, 1)
    assert adopted.state_hash() == source.state_hash()
    more = encode_entry(Entry(4, 9, (PlaceOrder("more", (Line("vase", 1),)),)))
    assert adopted.apply(9, 1, more) == source.apply(9, 1, more)
    assert adopted.state_hash() == source.state_hash()


def test_a_copy_holds_what_was_committed_when_it_was_made(source: StateMachine, tmp_path: Path) -> None:
    source.apply(9, 1, encode_entry(Entry(4, 9, (PlaceOrder("uncommitted", (Line("vase", 1),)),))))
    info = make_copy(tmp_path / "source.db", tmp_path / "copy.db")
    assert info.applied_index == 8


def test_every_page_of_a_copy_has_its_checksum(copy: tuple[Path, CopyInfo]) -> None:
    """Those of its source are in its -wal, where pages have none."""
    path, _ = copy
    data = path.read_bytes()
    pages = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    assert len(pages) > 10
    assert all(page == with_checksum(page) for page in pages)


def test_no_copy_is_made_of_a_page_that_went_bad(source: StateMachine, tmp_path: Path) -> None:
    source.checkpoint()
    state = tmp_path / "source.db"
    data = state.read_bytes()
    state.write_bytes(flipped(data, data.rindex(b"order-3")))
    with pytest.raises(SourceDamaged) as refused:
        make_copy(state, tmp_path / "copy.db")
    assert refused.value.__cause__ is not None
    assert sqlite.say(refused.value.__cause__) == "the checksum of a page is not that of what is in it"


def test_a_system_that_refuses_says_nothing_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "source.db").mkdir()
    with pytest.raises(NotCopied, match="disk I/O error"):
        make_copy(tmp_path / "source.db", tmp_path / "copy.db")
    with pytest.raises(NotCopied, match="No such file"):
        make_copy(tmp_path / "source.db", tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize("position", [0, 18, 100, 5_000, -1])
def test_a_flipped_byte_on_the_way_is_refused(copy: tuple[Path, CopyInfo], position: int) -> None:
    path, info = copy
    data = bytearray(path.read_bytes())
    data[position] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(CopyRefused, match="damaged on the way"):
        adopt_copy(path, path.with_name("state-8.db"), info, TARGET)


def test_a_copy_that_ends_early_is_refused(copy: tuple[Path, CopyInfo]) -> None:
    path, info = copy
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(CopyRefused, match="damaged on the way"):
        adopt_copy(path, path.with_name("state-8.db"), info, TARGET)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stock SET received = received + 1, sold = sold + 1",
        "DELETE FROM reservations WHERE reservation_id = 'order-3'",
        "UPDATE state SET applied_index = 7",
    ],
)
def test_a_source_that_was_damaged_is_refused(source: StateMachine, tmp_path: Path, damage: str) -> None:
    """Its bytes arrive as they were sent; it is the rows that do not add up."""
    with sqlite.connect(tmp_path / "source.db") as behind_its_back:
        behind_its_back.execute(damage)
    behind_its_back.close()
    info = make_copy(tmp_path / "source.db", tmp_path / "copy.db")
    with pytest.raises(CopyRefused):
        adopt_copy(tmp_path / "copy.db", tmp_path / "state-8.db", info._replace(applied_index=8), TARGET)


@pytest.mark.parametrize(("index", "term"), [(7, 1), (9, 1), (8, 2)])
def test_a_copy_that_stands_elsewhere_than_was_said_is_refused(
    copy: tuple[Path, CopyInfo], index: int, term: int
) -> None:
    """The journal would be set to begin where the state does not end."""
    path, info = copy
    with pytest.raises(CopyRefused, match="stands at index 8"):
        adopt_copy(path, path.with_name("state-8.db"), info._replace(applied_index=index, applied_term=term), TARGET)
    assert not path.with_name("state-8.db").exists()


def test_a_copy_of_another_cluster_is_refused(copy: tuple[Path, CopyInfo]) -> None:
    path, info = copy
    with pytest.raises(CopyRefused, match="cluster"):
        adopt_copy(path, path.with_name("state-8.db"), info, Identity("another", "n2"))
