"""A cluster file is taken whole or refused in one line that names the key and the fix."""

import os
from pathlib import Path

import pytest

from lastunit_node.config import Address, ClusterConfig, ConfigError, load_cluster

GOOD = """\
cluster: vases
data_dir: data
nodes:
  n1: {grpc: 127.0.0.1:7101, raft: 127.0.0.1:7201}
  n2: {grpc: 127.0.0.1:7102, raft: 127.0.0.1:7202}
  n3: {grpc: 127.0.0.1:7103, raft: 127.0.0.1:7203}
tick_ms: 100
hold_ticks: 6000
hold_cap_ticks: 36000
retention_ticks: 864000
sweep_size: 100
"""


def load(folder: Path, text: str) -> ClusterConfig:
    path = folder / "cluster.yml"
    path.write_text(text, encoding="utf-8")
    return load_cluster(path)


def refusal(folder: Path, text: str) -> str:
    """The message without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{folder / 'cluster.yml'}: ")
    return message.removeprefix(f"{folder / 'cluster.yml'}: ")


def test_a_good_file(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.cluster == "vases"
    assert config.path == tmp_path / "cluster.yml"
    assert config.node("n2").raft == Address("127.0.0.1", 7202)
    assert config.endpoints() == ["127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"]
    assert (config.tick_ms, config.sweep_size) == (100, 100)


def test_data_lies_beside_the_file_wherever_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cluster.yml").write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_cluster(Path("../cluster.yml"))
    assert config.node_dir("n1") == tmp_path / "data" / "n1"


def test_data_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = GOOD.replace("data_dir: data", "data_dir: ~/x")
    assert load(tmp_path, text).data_dir == tmp_path / "home" / "x"
    unknown = refusal(tmp_path, text.replace("~/x", "~no-such-user/x"))
    assert unknown == "data_dir: '~no-such-user/x' names no home directory that is known; write the path in full"


def test_data_in_no_home_directory(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for folder, problem in (("loop/x", "runs in circles through symbolic links"), ("~nobody-at-all", "names no home")):
        assert problem in refusal(tmp_path, GOOD.replace("data_dir: data", f"data_dir: {folder}"))


@pytest.mark.parametrize("written", ["link/x", '"\\uD800"', "data"])
def test_data_in_a_folder_whose_name_is_no_text(tmp_path: Path, written: str) -> None:
    """By a link, as it is written, or since the cluster file lies there."""
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    strange.mkdir()
    (tmp_path / "link").symlink_to(strange)
    said = refusal(strange if written == "data" else tmp_path, GOOD.replace("data_dir: data", f"data_dir: {written}"))
    assert said.startswith(f"data_dir: '{tmp_path}/")
    assert said.endswith("' is not UTF-8; write another path, or rename the folder")


def test_defaults_are_those_of_the_design(tmp_path: Path) -> None:
    nodes_only = "cluster: c\n" + "".join(line for line in GOOD.splitlines(keepends=True)[2:6])
    config = load(tmp_path, nodes_only)
    numbers = (config.tick_ms, config.hold_ticks, config.hold_cap_ticks, config.retention_ticks, config.sweep_size)
    assert numbers == (100, 6_000, 36_000, 864_000, 100)
    assert config.data_dir == tmp_path / ".lastunit"


def test_the_effective_config_is_plain_data(tmp_path: Path) -> None:
    effective = load(tmp_path, GOOD).effective()
    assert effective["nodes"]["n1"] == {"grpc": "127.0.0.1:7101", "raft": "127.0.0.1:7201"}
    assert effective["data_dir"] == str(tmp_path / "data")
    assert effective["hold_cap_ticks"] == 36_000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tick_ms: 100", "tick_ms: 9", "tick_ms: 9 is too small; write at least 10"),
        ("tick_ms: 100", "tick_ms: 60001", "tick_ms: 60001 is too large; write at most 60000"),
        ("tick_ms: 100", "tick_ms: '100'", "tick_ms: '100' is not valid; write a whole number"),
        ("tick_ms: 100", "tick_ms: 100.0", "tick_ms: 100.0 is not valid; write a whole number"),
        ("tick_ms: 100", "tick_ms: true", "tick_ms: True is not valid; write a whole number"),
        ("tick_ms: 100", "tick_ms:", "tick_ms: None is not valid; write a whole number"),
        ("sweep_size: 100", "sweep_size: 0", "sweep_size: 0 is too small; write at least 1"),
        (
            "cluster: vases",
            "cluster: Vases",
            "cluster: 'Vases' is not valid; write 1 to 32 characters of a-z, 0-9 and -, no - first",
        ),
        (
            "cluster: vases",
            "cluster: 7",
            "cluster: 7 is not valid; write 1 to 32 characters of a-z, 0-9 and -, no - first",
        ),
        ("cluster: vases", "", "cluster: is missing; add it (cluster.yml explains every key)"),
        ("data_dir: data", "data_dir: 7", "data_dir: 7 is not a folder; write a path, such as .lastunit"),
        ("  n3:", "  -n3:", "nodes.-n3: '-n3' is not valid; write 1 to 32 characters of a-z, 0-9 and -, no - first"),
        ("  n3:", "  N3:", "nodes.N3: 'N3' is not valid; write 1 to 32 characters of a-z, 0-9 and -, no - first"),
        ("  n3:", "  3:", "nodes.3: 3 is not valid; write 1 to 32 characters of a-z, 0-9 and -, no - first"),
        ("  n3:", "# n3:", "nodes: 2 nodes; a cluster has 3 or 5"),
        ("  n3:", "  n2:", "line 6, column 3: the key 'n2' is given twice; remove one"),
        ("hold_ticks: 6000", "tick_ms: 50", "line 8, column 1: the key 'tick_ms' is given twice; remove one"),
        ("raft: 127.0.0.1:7201", "rfat: 127.0.0.1:7201", "nodes.n1.rfat: unknown key; the keys here are grpc, raft"),
        ("tick_ms: 100", "tickms: 100", "tickms: unknown key; the keys here are cluster, data_dir, nodes, tick_ms, "),
        ("nodes:", "nodes: 3\nmore:", "more: unknown key"),
        ("127.0.0.1:7101", "0.0.0.0:7101", "nodes.n1.grpc: '0.0.0.0:7101' is not on IPv4 loopback"),
        ("127.0.0.1:7101", "192.0.2.1:7101", "write 127.0.0.1:7101"),
        ("127.0.0.1:7101", "localhost:7101", "write 127.0.0.1:7101"),
        ("127.0.0.1:7101", "'[::1]:7101'", "nodes.n1.grpc: '[::1]:7101' is not host:port; write 127.0.0.1:PORT"),
        ("127.0.0.1:7101", "7101", "nodes.n1.grpc: 7101 is not host:port; write 127.0.0.1:PORT"),
        ("127.0.0.1:7101", "127.0.0.1:80", "nodes.n1.grpc: port 80 is out of bounds; take one of 1024 to 65535"),
        ("127.0.0.1:7101", "127.0.0.1:65536", "nodes.n1.grpc: port 65536 is out of bounds"),
        (
            "127.0.0.1:7102",
            "127.0.0.1:7201",
            "nodes: n2.grpc and n1.raft are both 127.0.0.1:7201; give each an address",
        ),
        ("hold_ticks: 6000", "hold_ticks: 36001", "hold_cap_ticks: 36000 is below hold_ticks (36001); raise it"),
        ("retention_ticks: 864000", "retention_ticks: 36000", "retention_ticks: 36000 is too short"),
        ("tick_ms: 100", "tick_ms: [1", "line 8, column 11: expected"),
        (
            "cluster: vases",
            "cluster: !!python/name:os.system x",
            "line 1, column 10: could not determine a constructor",
        ),
    ],
)
def test_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert message in refusal(tmp_path, GOOD.replace(old, new, 1))


def test_ids_are_remembered_for_a_minute_however_short_the_holds(tmp_path: Path) -> None:
    numbers = "tick_ms: 20\nhold_ticks: 5\nhold_cap_ticks: 5\nretention_ticks: "
    text = GOOD[: GOOD.index("tick_ms")] + numbers
    assert load(tmp_path, text + "3000").retention_ticks == 3_000
    assert "raise it to at least 3000" in refusal(tmp_path, text + "2999")


@pytest.mark.parametrize("text", ["", "vases", "- cluster: vases", "7"])
def test_no_keys(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == "no keys at its top level; start with `cluster: NAME`"


@pytest.mark.parametrize("text", ["\0", "[" * 2_000])
def test_not_yaml(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2026-02-30", "timestamp"),
        ("2026-01-01T00:00:00+99:99", "timestamp"),
        ("9" * 5_000, "int"),
        ("0x" + "f" * 5_000, "int"),
        ("0b_", "int"),
        ("!!int foo", "int"),
        ("!!float foo", "float"),
        ("!!bool foo", "bool"),
        ("!!timestamp foo", "timestamp"),
    ],
)
def test_values_that_are_not_what_they_look_like(tmp_path: Path, value: str, kind: str) -> None:
    shown = repr(value.rpartition(" ")[2][:40])
    message = f"line 7, column 10: {shown} cannot be read as {kind}; correct it, or put it in quotes"
    assert refusal(tmp_path, GOOD.replace("tick_ms: 100", f"tick_ms: {value}")) == message


@pytest.mark.parametrize("text", ["!!map foo", "a: !!map foo", "!!set foo"])
def test_a_scalar_tagged_as_a_mapping(tmp_path: Path, text: str) -> None:
    assert "expected a mapping node, but found scalar" in refusal(tmp_path, text)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_cluster(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; name one with --config"):
        load_cluster(tmp_path / "cluster.yml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_cluster(tmp_path)


def test_no_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match=r"^cluster.yml: the current directory is gone; change to one that exists$"):
        load_cluster(Path("cluster.yml"))


def test_no_such_node(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no node 'n4'; its nodes are n1, n2, n3"):
        load(tmp_path, GOOD).node("n4")


def test_a_loaded_config_cannot_be_changed(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        config.tick_ms = 1
