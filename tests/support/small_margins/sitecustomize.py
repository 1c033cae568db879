"""Put on a node's PYTHONPATH: it keeps few log entries, fewer in memory, and trims all the time.

It runs the sources: compiled code has these numbers built in.
"""

import sys
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tests
import_module("support.interpreted").prefer_sources()
replica = "lastunit_node.replica"
vars(import_module(f"{replica}.compaction")).update(MARGIN_ENTRIES=20, SLOW_MARGIN_ENTRIES=40, PIECE_ENTRIES=10)
vars(import_module(f"{replica}.entry_cache")).update(CACHE_ENTRIES=10)
vars(import_module(f"{replica}.timing")).update(COMPACTION=0.02)
