"""A node of a lastunit cluster: state machine, replica, front end, and the process around them.

Reading order: strict_yaml, config_errors, config; sqlite, wal, statemachine, replica, frontend; node_files,
durable_files, wide_scan, damage, datadir; copies, catchup, counting, rejoin, verify; compiled, logs, streams, server,
main; cli for the local cluster.
"""

from importlib.metadata import version

__version__ = version("lastunit")
