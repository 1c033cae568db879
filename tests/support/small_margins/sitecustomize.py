"""Put on a node's PYTHONPATH: it keeps few log entries, fewer in memory, and trims all the time."""

from lastunit_node.replica import compaction, entry_cache, timing

vars(compaction).update(MARGIN_ENTRIES=20, SLOW_MARGIN_ENTRIES=40, PIECE_ENTRIES=10)
vars(entry_cache).update(CACHE_ENTRIES=10)
vars(timing).update(COMPACTION=0.02)
