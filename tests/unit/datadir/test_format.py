"""What makes a new data directory last: `lastunit-node format`, and the second half of `rejoin`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lastunit_node.config import ClusterConfig
from lastunit_node.datadir import IDENTITY, JOURNAL, STATE, DataDirectory, DirectoryRefused, format_directory
from lastunit_node.rejoin import rejoin_node

MEMBERS = ("n1", "n2", "n3")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What os.fsync was called for from now on, in this order."""
    found: list[Path] = []
    really: Callable[[int], None] = os.fsync

    def fsync(descriptor: int) -> None:
        really(descriptor)
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_the_way_to_a_new_directory_is_as_durable_as_its_files(tmp_path: Path, synced: list[Path]) -> None:
    """All of it is new here, and a power loss takes whole directories away whose entry was not synced."""
    path = tmp_path.resolve() / "disk" / "data" / "n1"
    format_directory(path, "test", "an-id", MEMBERS, "n1")
    assert (path / IDENTITY).is_file()
    assert synced[:5] == [path / "identity.tmp", path, *path.parents[:3]]


def test_a_directory_is_moved_aside_for_good_when_there_is_another(
    config: ClusterConfig, path: Path, synced: list[Path]
) -> None:
    rejoin_node(config, "n1")
    assert path.with_name("n1.new-1").resolve() in synced
    assert synced[-1] == path.parent.resolve(), "after it has its name"


def test_a_folder_that_may_not_be_read_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really: Callable[..., int] = os.open

    def refuse(path: str | Path, *flags: int, **rest: int) -> int:
        if Path(path) == tmp_path.resolve():
            raise PermissionError(path)
        return really(path, *flags, **rest)

    monkeypatch.setattr(os, "open", refuse)
    format_directory(tmp_path / "data" / "n1", "test", "an-id", MEMBERS, "n1")
    assert (tmp_path / "data" / "n1" / IDENTITY).is_file()


@pytest.mark.parametrize("left", [[STATE, JOURNAL], [STATE]])
def test_a_directory_whose_making_was_cut_off_is_not_taken_for_a_new_clusters(tmp_path: Path, left: list[str]) -> None:
    format_directory(tmp_path, "test", "an-id", MEMBERS, "n1")
    for name in {STATE, JOURNAL, IDENTITY} - set(left):
        (tmp_path / name).unlink()
    with pytest.raises(DirectoryRefused, match=f"has {left[-1]} but no {IDENTITY}.*cut off.*rejoin"):
        DataDirectory(tmp_path, "test", MEMBERS, "n1")
