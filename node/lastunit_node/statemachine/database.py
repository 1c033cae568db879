"""Opening a state database: made when absent, refused when it is not ours, not this node's, or of another format.

The writer connection is in autocommit mode: StateMachine begins and commits. WAL and synchronous=NORMAL keep the
file whole under power loss, and may lose its last transactions then; the journal has them, and apply replays.
"""

from pathlib import Path
from typing import Final, NamedTuple

from lastunit_node import sqlite
from lastunit_node.statemachine.errors import StateDamaged, StateFormatError, StateIdentityError
from lastunit_node.statemachine.hashing import HASH_BYTES, Digest, state_crc
from lastunit_node.statemachine.schema import APPLICATION_ID, FORMAT_VERSION, SCHEMA
from lastunit_node.statemachine.tables import CLOCK, ClockRow

CACHE_KIB: Final = 64 * 1024  # pages kept in memory


class Identity(NamedTuple):
    """Whose state a file holds. Not part of any hash."""

    cluster_id: str  # the cluster's UUID
    node: str


def open_state(path: Path, *, identity: Identity, checksums: bool = True) -> sqlite.Connection:
    """The one writer connection of a state database; the file is made when it does not exist.

    Raises StateFormatError, StateIdentityError and StateDamaged with a message for the operator.
    """
    connection = sqlite.connect(path, checksums=checksums)
    try:
        _check_format(connection, path)
        is_new = _version(connection) == 0
        if is_new:
            sqlite.add_checksums(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if is_new:
            create_schema(connection, identity)
        _check_owner(connection, path, identity)
    except BaseException:
        connection.close()
        raise
    return connection


def check_owner(connection: sqlite.Connection, path: Path, identity: Identity) -> None:
    """Raise StateFormatError or StateIdentityError unless the database is ours and this node's."""
    _check_format(connection, path)
    _check_owner(connection, path, identity)


def open_reader(path: Path, *, checksums: bool = True) -> sqlite.Connection:
    """A read-only connection for snapshots, beside the writer."""
    return sqlite.connect(path, "ro", checksums=checksums)


def create_schema(connection: sqlite.Connection, identity: Identity) -> None:
    """Make all tables and the fresh state, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO identity (cluster_id, node) VALUES (?, ?)", identity)
    connection.execute("INSERT INTO clock (ticks) VALUES (0)")
    digest = Digest()
    digest.add_all(CLOCK.seed, [ClockRow(0)])
    row = (0, 0, bytes(HASH_BYTES), digest.to_bytes())
    connection.execute(
        "INSERT INTO state (applied_index, applied_term, chain, digest, crc) VALUES (?, ?, ?, ?, ?)",
        (*row, state_crc(*row)),
    )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    connection.execute("COMMIT")


def _version(connection: sqlite.Connection) -> int:
    return int(sqlite.only_row(connection, "PRAGMA user_version")[0])


def _check_format(connection: sqlite.Connection, path: Path) -> None:
    try:
        version = _version(connection)
        (owner,) = sqlite.only_row(connection, "PRAGMA application_id")
        (tables,) = sqlite.only_row(connection, "SELECT count(*) FROM sqlite_schema")
    except sqlite.READ_ERRORS as error:
        if not sqlite.is_unreadable(error):
            raise
        problem = f"it cannot be read as a state database: {sqlite.say(error)}"
        raise StateDamaged(f"{path} is damaged: {problem}") from error
    if (version or tables) and owner != APPLICATION_ID:
        raise StateFormatError(f"{path} is a database, but not a state database of lastunit")
    if version > FORMAT_VERSION:
        raise StateFormatError(
            f"{path} has state format {version}; this software reads up to {FORMAT_VERSION}: start a newer one"
        )
    if 0 < version < FORMAT_VERSION:
        raise StateFormatError(
            f"{path} has state format {version}; this software reads {FORMAT_VERSION} only: start the one that made it"
        )


def _check_owner(connection: sqlite.Connection, path: Path, identity: Identity) -> None:
    if not sqlite.has_checksums(connection):
        raise StateDamaged(f"{path} is damaged: its header says that its pages have no checksums")
    row = connection.execute("SELECT cluster_id, node FROM identity").fetchone()
    if row is None:
        raise StateDamaged(f"{path} is damaged: it does not say whose it is")
    if not all(type(column) is str for column in row):
        raise StateDamaged(f"{path} is damaged: whose it is cannot be read")
    found = Identity(*row)
    if found.cluster_id != identity.cluster_id:
        raise StateIdentityError(f"{path} belongs to cluster {found.cluster_id}, not to {identity.cluster_id}")
    if found.node != identity.node:
        raise StateIdentityError(f"{path} belongs to node {found.node!r}, not to {identity.node!r}")
