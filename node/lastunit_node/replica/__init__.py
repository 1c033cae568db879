"""Replication: PySyncObj's Raft core, hardened, with a durable journal, a link and a tick loop of our own.

The only package that imports pysyncobj and knows its private names.

Reading order: interface, timing, clock; owner, journal_file, entry_cache, journal; frames, hello, connection, link;
messages, progress; waker, syncobj; admission, follower, leader, promise, elections, peers, transfer, forwarding;
divergence, comparison; raft; ticker, state_commits, write_out, checkpoints, compaction, core; attempts, scanner,
replica.
"""

import _socket
import socket

import pysyncobj

assert pysyncobj  # importing it put a function that works on Windows only in place of socket.inet_ntop
socket.inet_ntop = _socket.inet_ntop
