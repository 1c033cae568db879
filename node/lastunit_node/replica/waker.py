"""Wakes the poll of the Raft thread, in the place of PySyncObj's PipeNotifier.

That one writes for every proposal, so that its pipe can be full, and reads until an exception says that it is empty.
"""

import os
from typing import Final

from pysyncobj.poller import POLL_EVENT_TYPE, Poller

_BYTES: Final = 16  # more than are ever in the pipe


class Waker:
    """A pipe that holds a byte while somebody asked for a turn that has not begun."""

    def __init__(self, poller: Poller) -> None:
        """Subscribe to the poller that is to be woken."""
        self.wakes = 0  # polls that were woken
        self._is_asked = False
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        poller.subscribe(self._read_end, self._on_asked, POLL_EVENT_TYPE.READ)

    def notify(self) -> None:
        """Make the poll under way return, or the next one. Any thread.

        What the turn is to find must be there before: who asked already is told nothing more.
        """
        if not self._is_asked:
            self._is_asked = True
            os.write(self._write_end, b"o")

    def _on_asked(self, _descriptor: int, _events: int) -> None:
        os.read(self._read_end, _BYTES)
        self._is_asked = False
        self.wakes += 1
