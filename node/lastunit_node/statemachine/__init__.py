"""The inventory state machine: pure, total, on SQLite.

Same log, same state, same results, bit for bit, on every node and on every replay. Nothing in this package knows
of a network, a wall clock, a random number or a thread.

Reading order: commands, brief, results, limits, validation, errors (values); packing, brief_entry, codec, canonical
(their bytes); ranges, schema, database, hashing, tables, table, integrity, renewal (rows); available, stock,
reservations, remembered, changes, state (what the rows mean); expiry, fragments, orders, holds, supply, clock,
membership (one command family each); machine (the conductor); queries (reads).
"""
