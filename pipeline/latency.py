"""How long things took, as a histogram that can be sent, added up and asked for percentiles."""

from __future__ import annotations

import math

SHORTEST_S = 0.001
GROWTH = 1.1  # each bin is so many times as long as the one before: a percentile is right to within 5 %


class Delays:
    """Counts of delays in seconds, in bins that grow geometrically."""

    def __init__(self, bins: dict[int, int] | None = None) -> None:
        self.bins = dict(bins or {})

    def add(self, seconds: float) -> None:
        place = round(math.log(max(seconds, SHORTEST_S) / SHORTEST_S, GROWTH))
        self.bins[place] = self.bins.get(place, 0) + 1

    def merge(self, bins: dict[int, int]) -> None:
        for place, count in bins.items():
            self.bins[place] = self.bins.get(place, 0) + count

    @property
    def count(self) -> int:
        return sum(self.bins.values())

    def up_to(self, seconds: float) -> int:
        """How many were no longer than that."""
        return sum(count for place, count in self.bins.items() if SHORTEST_S * GROWTH**place <= seconds)

    def percentile(self, percent: float) -> float:
        """Seconds that ``percent`` of all delays do not exceed; 0 of none at all."""
        wanted, seen = self.count * percent / 100, 0
        for place in sorted(self.bins):
            seen += self.bins[place]
            if seen >= wanted:
                return float(SHORTEST_S * GROWTH**place)
        return 0.0
