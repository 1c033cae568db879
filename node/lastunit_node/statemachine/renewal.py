"""A state whose rows are whole, and whose pages do not have their checksums: other programs leave it like that.

Whoever looks at the files of a killed node with a SQLite of their own, as `sqlite3` does, moves what is in the -wal
into pages without such checksums when they leave. That is no damage.
"""

from contextlib import closing
from pathlib import Path

from lastunit_node.statemachine.database import Identity, open_state
from lastunit_node.statemachine.integrity import check_state


def renew_checksums(path: Path, identity: Identity) -> None:
    """Write every page anew. Raises StateDamaged, or sqlite.Error, when more is wrong than that."""
    with closing(open_state(path, identity=identity, checksums=False)) as connection:
        check_state(connection, path)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
