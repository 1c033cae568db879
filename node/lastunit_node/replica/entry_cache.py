"""The newest log entries in memory: all that are not on disk yet, and a bounded tail of those that are."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

LogEntry = tuple[bytes, int, int]  # (bytes, index, term), the order PySyncObj uses

CACHE_BYTES: Final = 32 << 20  # entry bytes kept for followers that are close behind
CACHE_ENTRIES: int = 65_536  # not Final: compiled code would have it built in, and tests of trimming lower it


class EntryCache:
    """Consecutive entries, ending in `last`, the last one of the log; never empty once filled."""

    def __init__(self, entries: Iterable[LogEntry]) -> None:
        self.last: LogEntry = (b"", 0, 0)
        self._entries: list[LogEntry] = []
        self._bytes = 0
        for entry in entries:
            self.append(entry)
            self.shrink(entry[1])

    @property
    def first_index(self) -> int:
        """Index of the oldest entry held."""
        return self._entries[0][1]

    def append(self, entry: LogEntry) -> None:
        """Add the next entry of the log."""
        self._entries.append(entry)
        self.last = entry
        self._bytes += len(entry[0])

    def slice(self, first: int, stop: int) -> list[LogEntry]:
        """Entries first..stop-1; all of them must be held, or lie past the end."""
        offset = self.first_index
        return self._entries[first - offset : stop - offset]

    def cut_from(self, index: int) -> None:
        """Forget entries from index on; at least one older entry stays."""
        position = index - self.first_index
        assert position > 0, (index, self.first_index)
        self._bytes -= sum(len(entry[0]) for entry in self._entries[position:])
        del self._entries[position:]
        self.last = self._entries[-1]

    def forget_before(self, index: int) -> None:
        """Forget entries before index, which is that of one in the log."""
        if index > self.first_index:
            self._forget(index - self.first_index)

    def shrink(self, durable: int) -> None:
        """When over its bound, forget the older half of what is durable (all but the last entry)."""
        if self._bytes <= CACHE_BYTES and len(self._entries) <= CACHE_ENTRIES:
            return
        self._forget(min(len(self._entries) // 2, durable - self.first_index))

    def _forget(self, drop: int) -> None:
        self._bytes -= sum(len(entry[0]) for entry in islice(self._entries, drop))
        del self._entries[:drop]
