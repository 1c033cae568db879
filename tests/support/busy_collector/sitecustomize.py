"""Put on a node's PYTHONPATH: garbage collections are frequent, and in each one another thread takes over.

That may happen anyway, wherever an object is made that a collection would look at, in compiled code and in C too: a
collection calls Python code of whoever waits for an object's end, and Python code hands over. But it is rare: a node
that runs for minutes meets it once.
"""

import gc
import select

EVERY = 20  # objects


def _hand_over(_phase: str, _facts: object) -> None:
    select.select((), (), (), 0.00002)  # without the interpreter's lock


gc.callbacks.append(_hand_over)
gc.set_threshold(EVERY)
gc.set_threshold = lambda *_: None  # the node sets its own, once it serves
