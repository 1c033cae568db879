"""A node of a lastunit cluster: state machine, replica, front end, and the process around them.

Reading order: config, statemachine, replica, frontend, datadir, server, main; cli for the local cluster.
"""

from importlib.metadata import version

__version__ = version("lastunit")
