"""A new directory in the place of a lost or damaged one: `lastunit-node rejoin`."""

import errno
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from support.real_cluster import CLUSTER_ID

from lastunit_node import rejoin
from lastunit_node.config import ClusterConfig
from lastunit_node.counting import owner_of
from lastunit_node.datadir import JOURNAL, DataDirectory, DirectoryInUse, DirectoryRefused, format_directory
from lastunit_node.main import main
from lastunit_node.node_files import holds_data
from lastunit_node.rejoin import rejoin_node
from lastunit_node.replica.journal import SqliteJournal


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "LOCK"}


def run(config: ClusterConfig, *options: str) -> int:
    return main(["rejoin", "--config", str(config.path), "--node", "n1", *options])


def format_others(config: ClusterConfig) -> None:
    for node in ("n2", "n3"):
        format_directory(config.node_dir(node), config.cluster, CLUSTER_ID, config.nodes, node)


def open_journal(config: ClusterConfig, node: str = "n1") -> SqliteJournal:
    directory = DataDirectory(config.node_dir(node), config.cluster, config.nodes, node)
    journal = directory.open_journal()
    directory.open_state().close()
    directory.close()
    journal.close()
    return journal


def test_the_old_directory_is_moved_aside_and_the_new_one_is_no_founder(
    config: ClusterConfig, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, old = files(path), open_journal(config)
    before = files(path)
    assert run(config) == 0
    aside = path.with_name("n1.old-1")
    assert files(aside) == before
    said = capsys.readouterr().err
    assert f"what was there is in {aside}" in said
    new = open_journal(config)
    assert (old.owner.founding, new.owner.founding) == (1, 0)
    assert new.instance != old.instance
    assert (new.first_index, new.last_index, new.owner.admitted) == (0, 0, 0)
    assert json.loads((path / "identity.json").read_text()) == json.loads((aside / "identity.json").read_text())


def test_what_was_moved_aside_before_stays(config: ClusterConfig, path: Path) -> None:
    rejoin_node(config, "n1")
    rejoin_node(config, "n1")
    assert {each.name for each in path.parent.iterdir()} >= {"n1", "n1.old-1", "n1.old-2"}


@pytest.mark.parametrize("damage", ["identity.json", "journal.db", "state.db"])
def test_damaged_files_are_in_nobodys_way(config: ClusterConfig, path: Path, damage: str) -> None:
    format_others(config)
    (path / damage).write_bytes(b"\x00nonsense")
    rejoin_node(config, "n1")
    open_journal(config)


@pytest.mark.parametrize("lost", [["n1"], ["n1", "n2"]])
def test_the_clusters_id_is_taken_from_any_node_that_has_it(config: ClusterConfig, lost: Sequence[str]) -> None:
    format_others(config)
    for node in lost:
        shutil.rmtree(config.node_dir(node))
    rejoin_node(config, "n1")
    assert DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1").identity.cluster_id == CLUSTER_ID


def test_without_the_clusters_id_nothing_is_done(
    config: ClusterConfig, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(path)
    assert run(config) == 2
    assert "--cluster-id" in capsys.readouterr().err
    assert not path.exists()
    assert run(config, "--cluster-id", CLUSTER_ID) == 0
    open_journal(config)


@pytest.mark.parametrize("given", ["", "an-id", CLUSTER_ID[:-1]])
@pytest.mark.parametrize("command", ["format", "rejoin"])
def test_a_cluster_id_is_a_uuid(
    config: ClusterConfig, path: Path, capsys: pytest.CaptureFixture[str], command: str, given: str
) -> None:
    shutil.rmtree(path)
    with pytest.raises(SystemExit, match="2"):
        main([command, "--config", str(config.path), "--node", "n1", "--cluster-id", given])
    assert f"--cluster-id: {given!r} is no UUID" in capsys.readouterr().err
    assert not path.exists()


def test_two_ids_are_a_question(config: ClusterConfig, path: Path) -> None:
    before = files(path)
    with pytest.raises(DirectoryRefused, match=f"{CLUSTER_ID} and other"):
        rejoin_node(config, "n1", "other")
    assert files(path) == before


def test_a_directory_of_another_cluster_makes_place_for_one_of_the_others_cluster(
    config: ClusterConfig, path: Path
) -> None:
    """As when it was restored from the wrong backup; it is no part of this cluster's majority either."""
    right = "0c0e9ad2-9d0d-4c5c-9d7e-5d6f3c1a7e55"
    for node in ("n2", "n3"):
        format_directory(config.node_dir(node), config.cluster, right, config.nodes, node, founding=node == "n3")
    rejoin_node(config, "n1")
    assert DataDirectory(path, config.cluster, config.nodes, "n1").identity.cluster_id == right


def test_others_that_contradict_each_other_are_a_question(config: ClusterConfig, path: Path) -> None:
    format_directory(config.node_dir("n2"), config.cluster, CLUSTER_ID, config.nodes, "n2")
    format_directory(config.node_dir("n3"), config.cluster, "other", config.nodes, "n3")
    with pytest.raises(DirectoryRefused, match=f"{CLUSTER_ID} and other were found, .*: move away the directories of"):
        rejoin_node(config, "n1")


def test_nodes_of_another_cluster_that_lie_beside_it_are_not_asked(config: ClusterConfig) -> None:
    format_directory(config.node_dir("n2"), "another", "other-id", config.nodes, "n2")
    rejoin_node(config, "n1")
    assert DataDirectory(config.node_dir("n1"), config.cluster, config.nodes, "n1").identity.cluster_id == CLUSTER_ID


def test_without_data_nothing_is_moved(config: ClusterConfig, path: Path) -> None:
    """As on an empty disk that is mounted in the place of a lost one: it cannot be renamed."""
    format_directory(config.node_dir("n2"), config.cluster, CLUSTER_ID, config.nodes, "n2")
    shutil.rmtree(path)
    (path / "lost+found").mkdir(parents=True)
    (path / "node.log").touch()
    before = path.stat().st_ino
    assert "what was there" not in rejoin_node(config, "n1")
    assert path.stat().st_ino == before
    open_journal(config)


def test_a_disk_of_its_own_with_data_is_refused_in_one_line(
    config: ClusterConfig, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(path)
    monkeypatch.setattr(Path, "rename", MagicMock(side_effect=OSError(errno.EBUSY, "Device or resource busy")))
    assert run(config) == 2
    assert "is a disk of its own, which cannot be renamed: move what is in it" in capsys.readouterr().err
    assert files(path) == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_link_to_another_disk_stays(config: ClusterConfig, path: Path, tmp_path: Path, is_lost: bool) -> None:
    format_others(config)
    disk = (tmp_path / "disk").resolve()
    disk.mkdir()
    place = path.rename(disk / "first")
    path.symlink_to(place)
    before = files(place)
    if is_lost:
        shutil.rmtree(place)
    said = rejoin_node(config, "n1")
    assert (path.is_symlink(), path.resolve(), "first.old-1" in said) == (True, place, not is_lost)
    assert is_lost or files(disk / "first.old-1") == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["n1", "n2", "n3"]
    open_journal(config)
    shutil.rmtree(disk)
    with pytest.raises(DirectoryRefused, match=f"n1 is a link to {place}, where .*: mount the disk"):
        rejoin_node(config, "n1")
    assert not disk.exists()


def fill_up(path: Path, *_: object, **__: object) -> None:
    """As format_directory does on a disk that is full before long."""
    path.mkdir(exist_ok=True)
    (path / "state.db").write_bytes(b"half of it")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_the_data_stays_where_it_is(
    config: ClusterConfig, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(path)
    monkeypatch.setattr(rejoin, "format_directory", fill_up)
    for _ in range(2):
        assert run(config) == 2
        assert re.search(f"{path} is as it was, .*: .* No space left on device. See to that", capsys.readouterr().err)
        assert list(path.parent.iterdir()) == [path]
        assert files(path) == before


def test_where_no_data_was_a_full_disk_leaves_none(
    config: ClusterConfig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    format_others(config)
    shutil.rmtree(path)
    monkeypatch.setattr(rejoin, "format_directory", fill_up)
    assert run(config) == 2
    assert not holds_data(path)


def test_what_was_there_is_put_back_when_the_new_one_cannot_take_its_place(
    config: ClusterConfig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = files(path), Path.rename

    def refuse(source: Path, target: Path) -> Path:
        if source.name == "n1.new-1":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert run(config) == 2
    assert list(path.parent.iterdir()) == [path]
    assert files(path) == before


def test_a_node_that_runs_is_left_alone(config: ClusterConfig, path: Path) -> None:
    running = DataDirectory(path, config.cluster, config.nodes, "n1")
    before = files(path)
    with pytest.raises(DirectoryInUse):
        rejoin_node(config, "n1")
    assert files(path) == before
    running.close()


def admit(config: ClusterConfig, node: str) -> None:
    journal = SqliteJournal(config.node_dir(node) / JOURNAL, CLUSTER_ID, node)
    journal.note_admission(7)
    journal.close()


def test_a_disk_that_is_needed_for_a_majority_is_not_put_aside(config: ClusterConfig, path: Path) -> None:
    format_others(config)
    said = rejoin_node(config, "n1")
    aside = path.with_name("n1.old-1")
    assert f"{aside}, the way back should the others elect no leader" in said
    rejoin_node(config, "n1")  # a disk that does not count is not needed
    before = files(config.node_dir("n2"))
    refusal = (
        "the disk of n2 is needed: without it 1 of 3 would count, which elect nobody; that of n1 is new and does not "
        "count until the leader has admitted it. Start n1, n2 and n3 first"
    )
    with pytest.raises(DirectoryRefused, match=re.escape(refusal)) as caught:
        rejoin_node(config, "n2")
    assert str(caught.value).endswith(f"put back what was there: {aside} as {path}")
    assert files(config.node_dir("n2")) == before
    admit(config, "n1")
    rejoin_node(config, "n2")


def test_a_lost_disk_makes_the_others_needed(config: ClusterConfig, path: Path) -> None:
    format_others(config)
    shutil.rmtree(config.node_dir("n3"))
    with pytest.raises(DirectoryRefused, match=r"the disk of n1 is needed.* that of n3 is lost or cannot be read"):
        rejoin_node(config, "n1")
    rejoin_node(config, "n3")
    admit(config, "n3")
    rejoin_node(config, "n1")


def test_a_disk_is_asked_while_its_node_runs_and_after_it_was_killed(config: ClusterConfig, path: Path) -> None:
    format_others(config)
    running = SqliteJournal(config.node_dir("n2") / JOURNAL, CLUSTER_ID, "n2")
    running.note_admission(7)
    found = owner_of(config.node_dir("n2"), CLUSTER_ID, "n2")
    assert found is not None
    assert (found.admitted, found.is_open) == (7, 1)
    running.note_admission(8)
    killed = path.with_name("killed")
    shutil.copytree(config.node_dir("n2"), killed)
    running.close()
    (killed / "journal.db-shm").unlink()
    found = owner_of(killed, CLUSTER_ID, "n2")
    assert found is not None
    assert found.admitted == 8
    (killed / "journal.db-wal").unlink()
    owner_of(killed, CLUSTER_ID, "n2")
    assert not (killed / "journal.db-wal").exists(), "a look would hide that it was lost"
