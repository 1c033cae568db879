"""Put on a node's PYTHONPATH: its journal is trimmed as if it had run for long, in pieces of the usual size."""

from lastunit_node.replica import compaction

vars(compaction).update(MARGIN_ENTRIES=100)
