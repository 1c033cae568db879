"""Damage to the files of a node that is down, of kinds that a start must find and refuse."""

from contextlib import closing
from pathlib import Path
from random import Random

from lastunit_node import sqlite
from lastunit_node.datadir import JOURNAL

_ENTRY = "idx = (SELECT idx FROM entry ORDER BY idx LIMIT 1 OFFSET (SELECT count(*) * {place} / 100 FROM entry))"
_OF_JOURNAL = (
    f"UPDATE entry SET bytes = CAST(bytes || x'00' AS BLOB) WHERE {_ENTRY}",
    f"UPDATE entry SET term = term + 1 WHERE {_ENTRY}",
    f"UPDATE entry SET crc = crc + 1 WHERE {_ENTRY}",
    f"DELETE FROM entry WHERE {_ENTRY} AND idx < (SELECT max(idx) FROM entry)",
    "UPDATE vote SET term = term + 1",
    "UPDATE vote SET voted_for = 'n9'",
)
_OF_STATE = (
    "UPDATE state SET applied_index = applied_index - 1",
    "UPDATE clock SET ticks = ticks + 1",
    "UPDATE stock SET received = received + 1, sold = sold + 1 WHERE sku = (SELECT max(sku) FROM stock)",
    "UPDATE stock SET last = last - 1 WHERE last > first",
    "DELETE FROM available_units WHERE sku = (SELECT max(sku) FROM available_units)",
    "DELETE FROM reservations WHERE reservation_id = (SELECT max(reservation_id) FROM reservations)",
    "UPDATE reservations SET answer = x'00' WHERE reservation_id = (SELECT min(reservation_id) FROM reservations)",
    "UPDATE stock_changes SET request = x'00' WHERE change_id = (SELECT max(change_id) FROM stock_changes)",
    "DELETE FROM holds",
)


def damage(folder: Path, rng: Random) -> str:
    """Do some; what was done."""
    journal = folder / JOURNAL
    with closing(sqlite.connect(journal)) as connection:
        state = folder / str(sqlite.only_row(connection, "SELECT state_file FROM owner")[0])
    kinds = [(journal, statement) for statement in _OF_JOURNAL] + [(state, statement) for statement in _OF_STATE]
    for file, statement in rng.sample(kinds, len(kinds)):
        done = statement.format(place=rng.randrange(100))
        with closing(sqlite.connect(file)) as connection:
            connection.execute(done)
            if connection.changes():
                return f"{'journal' if file.name == JOURNAL else 'state'}: {done}"
    raise AssertionError("every journal has a vote")
