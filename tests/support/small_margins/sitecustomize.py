"""Put on a node's PYTHONPATH: it keeps few log entries and trims all the time, so that others soon fall behind."""

from lastunit_node.replica import compaction, timing

vars(compaction).update(MARGIN_ENTRIES=20, SLOW_MARGIN_ENTRIES=40, PIECE_ENTRIES=10)
vars(timing).update(COMPACTION=0.02)
