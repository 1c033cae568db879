"""Put on a node's PYTHONPATH: it keeps few log entries, so that another one falls behind soon."""

from lastunit_node.replica import compaction

vars(compaction).update(MARGIN_ENTRIES=20, SLOW_MARGIN_ENTRIES=40, PIECE_ENTRIES=10)
