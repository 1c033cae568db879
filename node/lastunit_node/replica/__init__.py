"""Replication: PySyncObj's Raft core, hardened, with a durable journal and a tick loop of our own.

The only package that imports pysyncobj and knows its private names. Reading order: interface, journal, progress,
raft, proposals, replica.
"""
