"""The tables of the state database. All STRICT; every rule that SQLite can hold, it holds too.

The logical rows (all tables but state, identity and holds) are what the digest covers. `state` is one row: how far
the log is applied, both hashes, and a CRC over all of these. `holds` is an index by sku over the reservations that are
HELD: derived, not hashed. Units are in exactly one place: first..last in stock, a range in available_units or in
removed_units, or `units` of a reservation.

Tables of slim rows have no rowid. The two with long rows have one: ids come in random order, and only the slim
primary-key index is then written all over the place (half the time of a commit, measured). What an index holds can be
read from it alone (`state` is in one for that): so it is held against its table (integrity.py).
"""

from typing import Final

FORMAT_VERSION: Final = 7  # of the file, of the tables and of what the hashes are of: higher with each change
APPLICATION_ID: Final = 0x4C55_4E54  # "LUNT": tells our files from other SQLite databases

SCHEMA: Final = (
    """
    CREATE TABLE identity (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        cluster_id TEXT NOT NULL,
        node TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE state (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        applied_index INTEGER NOT NULL,
        applied_term INTEGER NOT NULL,
        chain BLOB NOT NULL,
        digest BLOB NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE clock (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        ticks INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE parameters (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        tick_ms INTEGER NOT NULL,
        hold_ticks INTEGER NOT NULL,
        hold_cap_ticks INTEGER NOT NULL,
        retention_ticks INTEGER NOT NULL,
        sweep_size INTEGER NOT NULL
    ) STRICT
    """,
    # Which disk of a node counts, the log position at which it was admitted, and the index of the one before; 0: none.
    """
    CREATE TABLE admitted (
        node TEXT PRIMARY KEY,
        instance TEXT NOT NULL,
        idx INTEGER NOT NULL,
        term INTEGER NOT NULL,
        replaces INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # A stock level, and the lowest range of available units, from which orders are served: most touch no other row.
    """
    CREATE TABLE stock (
        sku TEXT PRIMARY KEY,
        received INTEGER NOT NULL,
        available INTEGER NOT NULL CHECK (available >= 0),
        held INTEGER NOT NULL CHECK (held >= 0),
        sold INTEGER NOT NULL CHECK (sold >= 0),
        removed INTEGER NOT NULL CHECK (removed >= 0),
        first INTEGER CHECK (first >= 1),
        last INTEGER,
        CHECK (received = available + held + sold + removed),
        CHECK (ifnull(last - first + 1 BETWEEN 1 AND available, available = 0 AND first IS NULL AND last IS NULL))
    ) STRICT, WITHOUT ROWID
    """,
    # Available ranges above that one.
    """
    CREATE TABLE available_units (
        sku TEXT NOT NULL,
        first INTEGER NOT NULL CHECK (first >= 1),
        last INTEGER NOT NULL CHECK (last >= first),
        PRIMARY KEY (sku, first)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE removed_units (
        sku TEXT NOT NULL,
        first INTEGER NOT NULL CHECK (first >= 1),
        last INTEGER NOT NULL CHECK (last >= first),
        adjustment_id TEXT NOT NULL,
        PRIMARY KEY (sku, first)
    ) STRICT, WITHOUT ROWID
    """,
    # state: 0 for a remembered refusal, else a ReservationState. The token's columns are NULL for an id that was never
    # held or sold. units: JSON, [[sku, [[first, last], ...]], ...]. request and answer: what took the id, and its first
    # result; NULL as long as units and expiry are still those of that result, for then the row says it. resolution: the
    # Confirm or Release that closed it, at resolved_index; NULL for a Confirm of everything held. resolution_answer:
    # what that was answered; NULL as long as the units are still those of that answer (remembered.py).
    """
    CREATE TABLE reservations (
        reservation_id TEXT PRIMARY KEY,
        state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
        token_term INTEGER,
        token_index INTEGER,
        token_position INTEGER,
        created_at_tick INTEGER NOT NULL,
        expires_at_tick INTEGER NOT NULL,
        units TEXT NOT NULL,
        request BLOB,
        answer BLOB,
        resolution BLOB,
        resolved_index INTEGER,
        resolution_answer BLOB,
        forget_at_tick INTEGER
    ) STRICT
    """,
    """
    CREATE INDEX reservations_by_expiry
        ON reservations (expires_at_tick, token_term, token_index, token_position, state) WHERE state = 1
    """,
    """
    CREATE INDEX reservations_to_forget
        ON reservations (forget_at_tick, reservation_id) WHERE forget_at_tick IS NOT NULL
    """,
    """
    CREATE TABLE holds (
        sku TEXT NOT NULL,
        expires_at_tick INTEGER NOT NULL,
        token_term INTEGER NOT NULL,
        token_index INTEGER NOT NULL,
        token_position INTEGER NOT NULL,
        reservation_id TEXT NOT NULL,
        PRIMARY KEY (sku, expires_at_tick, token_term, token_index, token_position)
    ) STRICT, WITHOUT ROWID
    """,
    # Receipts, adjustments and returns: each kind is a namespace of ids of its own.
    """
    CREATE TABLE stock_changes (
        kind TEXT NOT NULL,
        change_id TEXT NOT NULL,
        request BLOB NOT NULL,
        answer BLOB NOT NULL,
        forget_at_tick INTEGER,
        PRIMARY KEY (kind, change_id)
    ) STRICT
    """,
    """
    CREATE INDEX stock_changes_to_forget
        ON stock_changes (forget_at_tick, kind, change_id) WHERE forget_at_tick IS NOT NULL
    """,
)
