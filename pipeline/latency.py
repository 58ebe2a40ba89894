"""A histogram of latencies. It can be sent between processes and merged, and gives percentiles."""

from __future__ import annotations

import math

SHORTEST_S = 0.001
GROWTH = 1.1  # ratio of neighbouring bins: percentiles are right to within 5 %


class LatencyHistogram:
    """Counts of latencies, in bins whose width grows geometrically.

    Args:
        bins: counts by bin number; bin n is ``SHORTEST_S * GROWTH**n`` seconds.
    """

    def __init__(self, bins: dict[int, int] | None = None) -> None:
        self.bins = dict(bins or {})

    def add(self, seconds: float) -> None:
        """Count one latency."""
        place = round(math.log(max(seconds, SHORTEST_S) / SHORTEST_S, GROWTH))
        self.bins[place] = self.bins.get(place, 0) + 1

    def merge(self, bins: dict[int, int]) -> None:
        """Add the counts of another histogram."""
        for place, count in bins.items():
            self.bins[place] = self.bins.get(place, 0) + count

    @property
    def count(self) -> int:
        """Number of latencies."""
        return sum(self.bins.values())

    def count_up_to(self, seconds: float) -> int:
        """Number of latencies that were no longer than ``seconds``."""
        return sum(count for place, count in self.bins.items() if SHORTEST_S * GROWTH**place <= seconds)

    def percentile(self, percent: float) -> float:
        """The latency in seconds that ``percent`` (0 to 100) of all latencies do not exceed; 0 if there are none."""
        needed, seen = self.count * percent / 100, 0
        for place in sorted(self.bins):
            seen += self.bins[place]
            if seen >= needed:
                return float(SHORTEST_S * GROWTH**place)
        return 0.0
