"""Latencies in an HdrHistogram (three significant digits, 1 us to 2 min): those of several rounds can be added."""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

MOST_US = 120_000_000
CURVE = (50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)


class Latencies:
    """How long requests took."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._histogram = HdrHistogram(1, MOST_US, 3)
        for one in seconds:
            self._histogram.record_value(min(max(round(one * 1e6), 1), MOST_US))

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def add(self, other: "Latencies") -> None:
        """Take in those of another round."""
        self._histogram.add(other._histogram)

    def percentile_ms(self, percent: float) -> float:
        """In milliseconds, at most a thousandth above the exact value; 0 when there are none."""
        return int(self._histogram.get_value_at_percentile(percent)) / 1e3

    def curve_ms(self) -> dict[str, float]:
        """Milliseconds by percentile."""
        return {f"{percent:g}": self.percentile_ms(percent) for percent in CURVE}
