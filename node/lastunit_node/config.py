"""The cluster file (cluster.yml): what a cluster is called, where its nodes listen, which rules it is born with.

Strict: an unknown key, a key given twice, a value of the wrong type or out of bounds is refused, and the refusal is
one line that names the key and the fix. Nothing is guessed and nothing is read from the environment.

Addresses are IPv4 loopback only. Neither the raft port nor the gRPC port has TLS or roles yet, so an
address that another machine can reach is refused here, before any port is opened.

`tick_ms` to `sweep_size` become replicated state when the cluster is born; from then on the replicated values decide,
and a file that differs only earns a warning.
"""

import errno
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from lastunit_node.config_errors import ConfigError, describe
from lastunit_node.statemachine.limits import MAX_SWEEP_SIZE
from lastunit_node.strict_yaml import read_mapping

__all__ = ["Address", "ClusterConfig", "ConfigError", "NodeConfig", "load_cluster"]

NODE_COUNTS: Final = (3, 5)  # an even number tolerates no more failures than the odd one below it
LOWEST_PORT: Final = 1024  # those below belong to root
HIGHEST_PORT: Final = 65_535
MAX_TICKS: Final = 1_000_000_000  # three years of default ticks; far from any overflow
MIN_RETENTION_MS: Final = 60_000  # clients repeat an id for seconds: it must not be forgotten under them
ADDRESS: Final = re.compile(r"(?P<host>[^:]+):(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """An IPv4 loopback address and a TCP port; as text `host:port`, which is also a gRPC target."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(value: object) -> Address:
    """An address as written in the file; ValueError says what to write instead."""
    if isinstance(value, Address):
        return value
    match = ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not host:port; write 127.0.0.1:PORT")
    port = int(match["port"])
    if not is_ipv4_loopback(match["host"]):
        raise ValueError(f"{value!r} is not on IPv4 loopback, the only place a node may listen; write 127.0.0.1:{port}")
    if not LOWEST_PORT <= port <= HIGHEST_PORT:
        raise ValueError(f"port {port} is out of bounds; take one of {LOWEST_PORT} to {HIGHEST_PORT}")
    return Address(match["host"], port)


def is_ipv4_loopback(host: str) -> bool:
    """True for 127.0.0.0/8 in dotted form; names are not resolved."""
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def parse_folder(value: object, info: ValidationInfo) -> Path:
    """A folder as written in the file: relative to the file's own folder, or with ~ to a home directory."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError(f"{value!r} is not a folder; write a path, such as .lastunit")
    file: Path = (info.context or {}).get("path", Path("cluster.yml"))
    try:
        folder = file.parent / Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{value!r} names no home directory that is known; write the path in full") from None
    require_text(folder)
    try:
        folder.stat()
    except OSError as error:  # most often it is not there yet
        if error.errno == errno.ELOOP:
            raise ValueError(f"{value!r} runs in circles through symbolic links; write another path") from None
    place = folder.resolve()
    require_text(place)
    return place


def require_text(folder: Path) -> None:
    """ValueError for a path with bytes that are no UTF-8: SQLite takes none, and no message could name it."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{str(folder)!r} is not UTF-8; write another path, or rename the folder") from None


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Loopback = Annotated[Address, PlainValidator(parse_address), PlainSerializer(str)]
Folder = Annotated[Path, BeforeValidator(parse_folder)]
Ticks = Annotated[int, Field(ge=1, le=MAX_TICKS)]


class Strict(BaseModel):
    """No unknown keys, no coercion, no change after loading; defaults pass the same checks."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class NodeConfig(Strict):
    """One member of the cluster."""

    grpc: Loopback
    """Where clients reach it."""
    raft: Loopback
    """Where the other nodes reach it."""


class ClusterConfig(Strict):
    """The cluster file. Every key is explained in cluster.yml."""

    cluster: Name
    data_dir: Folder = Path(".lastunit")
    nodes: dict[Name, NodeConfig]
    tick_ms: int = Field(default=100, ge=10, le=60_000)
    hold_ticks: Ticks = 6_000
    hold_cap_ticks: Ticks = 36_000
    retention_ticks: Ticks = 864_000
    sweep_size: int = Field(default=100, ge=1, le=MAX_SWEEP_SIZE)
    _path: Path = PrivateAttr(default=Path("cluster.yml"))

    def model_post_init(self, context: Mapping[str, Path] | None, /) -> None:
        """Remember the file, which is no key in it."""
        self._path = (context or {}).get("path", self._path)

    @field_validator("nodes")
    @classmethod
    def _check_nodes(cls, nodes: dict[str, NodeConfig]) -> dict[str, NodeConfig]:
        if len(nodes) not in NODE_COUNTS:
            raise ValueError(f"{len(nodes)} nodes; a cluster has 3 or 5")
        owners: dict[Address, str] = {}
        for name, node in nodes.items():
            for key, address in (("grpc", node.grpc), ("raft", node.raft)):
                owner = owners.setdefault(address, f"{name}.{key}")
                if owner != f"{name}.{key}":
                    raise ValueError(f"{name}.{key} and {owner} are both {address}; give each an address of its own")
        return nodes

    @field_validator("hold_cap_ticks")
    @classmethod
    def _check_cap(cls, cap: int, info: ValidationInfo) -> int:
        hold = info.data.get("hold_ticks", cap)
        if cap < hold:
            raise ValueError(f"{cap} is below hold_ticks ({hold}); raise it to at least {hold}")
        return cap

    @field_validator("retention_ticks")
    @classmethod
    def _check_retention(cls, retention: int, info: ValidationInfo) -> int:
        tick_ms = info.data.get("tick_ms", MIN_RETENTION_MS)
        least = max(-(-MIN_RETENTION_MS // tick_ms), info.data.get("hold_cap_ticks", 0) + 1)
        if retention < least:
            raise ValueError(
                f"{retention} is too short: ids are remembered for longer than any hold, and for a minute; "
                f"raise it to at least {least}"
            )
        return retention

    @property
    def path(self) -> Path:
        """The file this was loaded from, absolute."""
        return self._path

    def node(self, name: str) -> NodeConfig:
        """One node by name; ConfigError when there is none."""
        try:
            return self.nodes[name]
        except KeyError:
            raise ConfigError(f"{self.path}: no node {name!r}; its nodes are {', '.join(self.nodes)}") from None

    def node_dir(self, name: str) -> Path:
        """Where a node keeps its identity, state, journal, log and PID file."""
        return self.data_dir / name

    def endpoints(self) -> list[str]:
        """The gRPC addresses of all nodes, as the client library takes them."""
        return [str(node.grpc) for node in self.nodes.values()]

    def effective(self) -> dict[str, Any]:
        """Every key with its value or default, ready for JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], path: Path) -> Self:
        """Check what a file said. `path` names it in messages and anchors data_dir."""
        try:
            return cls.model_validate(dict(values), context={"path": path})
        except ValidationError as error:
            raise ConfigError(f"{path}: {describe(error, cls)}") from None


def load_cluster(path: Path) -> ClusterConfig:
    """Read and check a cluster file. ConfigError's message is one line that names the key and the fix."""
    try:
        path = path.absolute()
    except OSError:
        raise ConfigError(f"{path}: the current directory is gone; change to one that exists") from None
    return ClusterConfig.from_mapping(read_mapping(path), path)
