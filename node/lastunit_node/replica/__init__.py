"""Replication: PySyncObj's Raft core, hardened, with a durable journal, a link and a tick loop of our own.

The only package that imports pysyncobj and knows its private names. Reading order: interface; journal, entry_cache;
frames, connection, link; progress, messages; syncobj; follower, leader, elections, transfer, forwarding, ticker;
divergence, comparison; raft; core; scanner, replica.
"""

import _socket
import socket

import pysyncobj

assert pysyncobj  # importing it put a function that works on Windows only in place of socket.inet_ntop
socket.inet_ntop = _socket.inet_ntop
