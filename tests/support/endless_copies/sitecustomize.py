"""Put on a node's PYTHONPATH: a copy of its state takes for ever to make."""

import threading

from lastunit_node.frontend import catchup

vars(catchup).update(make_copy=lambda _state, _target: threading.Event().wait(), LIFE_SECONDS=0.05)
