"""Convert a false-alarm rate (FPIR) to a cosine threshold, by face width and watchlist size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SizeBin:
    """Impostor scores of faces up to ``face_px`` wide: ``scores[i]`` is exceeded by one stranger's comparison in ``10 **
    -fmr[i]``. Beyond the last of them excesses follow a generalised Pareto distribution of ``shape`` and ``scale``."""

    face_px: float
    log10_fmr: tuple[float, ...]
    scores: tuple[float, ...]
    shape: float
    scale: float

    def score_at(self, log_fmr: float) -> float:
        """The cosine exceeded at a false match rate of ``10 ** log_fmr``: linear between measured points, then the tail's
        (Pickands 1975; Coles, An Introduction to Statistical Modeling of Extreme Values, eq. 4.12)."""
        if log_fmr < self.log10_fmr[-1]:
            rarer = 10 ** (self.log10_fmr[-1] - log_fmr)
            excess = math.log(rarer) if abs(self.shape) < 1e-6 else (rarer**self.shape - 1) / self.shape
            return self.scores[-1] + self.scale * excess
        points = list(zip(self.log10_fmr, self.scores, strict=True))
        place = next((i for i, (x, _) in enumerate(points[1:], 1) if x <= log_fmr), len(points) - 1)
        (x0, y0), (x1, y1) = points[place - 1], points[place]
        return y0 + (y1 - y0) * (log_fmr - x0) / (x1 - x0)


class Thresholds:
    """Built from the ``impostors`` entry of a recogniser's card."""

    def __init__(self, impostors: list[dict[str, Any]]) -> None:
        bins = [
            SizeBin(
                float(entry["face_px"]),
                tuple(entry["log10_fmr"]),
                tuple(entry["scores"]),
                entry["tail"]["shape"],
                entry["tail"]["scale"],
            )
            for entry in impostors
        ]
        self._bins = sorted(bins, key=lambda entry: entry.face_px)

    def cosine(self, fpir: float, list_size: int, face_px: float) -> float:
        """Return the cosine a match needs.

        A stranger is compared with N photos, so each comparison may err at a rate of ``1 - (1 - fpir) ** (1 / N)``. This treats
        comparisons as independent; false alarms are fewer where a stranger looks like several people at once.

        Args:
            fpir: false alarms allowed per stranger, above 0, below 1. Lower: a higher threshold and more misses.
            list_size: number N of enrolled photos, or of tracks in a search. Larger: a higher threshold.
            face_px: face width in pixels; it selects the size bin.

        Returns:
            The threshold, at most 1.
        """
        found = next((entry for entry in self._bins if face_px <= entry.face_px), self._bins[-1])
        per_comparison = -math.expm1(math.log1p(-fpir) / max(1, list_size))
        return min(1.0, found.score_at(math.log10(per_comparison)))

    def decide(self, score: float, fpir: float, list_size: int, face_px: float) -> tuple[str, float]:
        """Return ``match`` or ``no_match`` for the cosine ``score`` to the nearest person, and the threshold (see `cosine`)."""
        threshold = self.cosine(fpir, list_size, face_px)
        return "match" if score >= threshold else "no_match", threshold
