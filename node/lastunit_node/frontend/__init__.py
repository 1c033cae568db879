"""The gRPC front end of a node: validates, batches commands into log entries, answers.

It knows the replica through replica.interface only, and judges nothing itself: whether an order fits is the state
machine's word. Reading order: errors, deadlines, gate, requests, responses, wire, orders, unary, work, queue, batcher,
reads, lookups, pages, listings, calls, message, execute, inventory, cluster, catchup, health, methods, frontend.
"""

from lastunit_node.frontend.frontend import CannotListenError, FrontEnd

__all__ = ["CannotListenError", "FrontEnd"]
