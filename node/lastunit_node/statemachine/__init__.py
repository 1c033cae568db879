"""The inventory state machine: pure, total, on SQLite.

Same log, same state, same results, bit for bit, on every node and on every replay. Nothing in this package knows
of a network, a wall clock, a random number or a thread.

Reading order: commands, results, limits, validation, codec, canonical (values and their bytes); ranges, schema,
database, hashing, tables (rows); stock, reservations, remembered, changes, state (what the rows mean); orders, holds,
supply, clock, expiry (one command family each); machine (the conductor); queries (reads).
"""
