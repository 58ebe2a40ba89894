"""Convert a false-alarm rate (FPIR) to a cosine threshold, by face width, number of shots and length of the watchlist."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LISTS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # numbers of people on the list
RATES = (0.5, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)  # FPIR
LOOKS = 4.0  # default for cards without it: false alarms of a live track, divided by those of a single look


@dataclass(frozen=True)
class Measured:
    """Highest impostor scores, measured for one range of face widths and one number of shots.

    Attributes:
        from_px, to_px: range of face widths in pixels.
        shots: number of shots in each template.
        people: number of strangers measured.
        lists: list sizes.
        rates: FPIRs.
        cosines: for each list size and FPIR, the cosine that a share ``rate`` of the strangers exceeds.
        looks: false alarms of a live track, which is compared until it ends, divided by those of a single comparison.
    """

    from_px: float
    to_px: float
    shots: int
    people: int
    lists: tuple[float, ...]
    rates: tuple[float, ...]
    cosines: tuple[tuple[float, ...], ...]
    looks: float = LOOKS

    @property
    def face_px(self) -> float:
        """The face width in pixels that this entry represents."""
        return math.sqrt(self.from_px * self.to_px)

    def as_entry(self) -> dict[str, Any]:
        """The entry as a dictionary, in the format of a model card."""
        kept = {key: getattr(self, key) for key in ("shots", "people", "lists", "rates", "cosines", "looks")}
        return {"face_px": [self.from_px, self.to_px], **kept}

    def cosine(self, rate: float, list_size: float) -> float:
        """The cosine that a share ``rate`` of the strangers exceeds over a list of ``list_size`` people.

        It is interpolated and extrapolated linearly in the logarithms of rate and list size.
        """
        rarity = [-math.log(-math.log1p(-r)) for r in self.rates]
        wanted = -math.log(-math.log1p(-rate))
        at = [_linear(rarity, row, wanted) for row in self.cosines]
        return _linear([math.log(size) for size in self.lists], at, math.log(max(1.0, list_size)))


class Thresholds:
    """Decision thresholds, built from the ``impostors`` entry of a recogniser's card.

    Cards of earlier versions hold scores of pairs. They are accepted too; comparisons are then assumed to be independent.
    """

    def __init__(self, impostors: list[dict[str, Any]]) -> None:
        if all("cosines" in entry for entry in impostors):
            measured = [_measured(entry) for entry in impostors]
        else:
            measured = _of_pairs(impostors)
        self.shots = sorted({entry.shots for entry in measured})
        self._by_shots = {
            shots: sorted((e for e in measured if e.shots == shots), key=lambda e: e.face_px) for shots in self.shots
        }

    def cosine(self, fpir: float, list_size: float, face_px: float, shots: int = 1, live: bool = False) -> float:
        """Return the smallest cosine of a match.

        Args:
            fpir: false alarms allowed per stranger, above 0, below 1. Lower: a higher threshold and more misses.
            list_size: number of people on the list, or of tracks in a search. Larger: a higher threshold.
            face_px: face width in pixels.
            shots: number of shots in the template. Thresholds are interpolated linearly between measured numbers.
            live: the track is compared repeatedly until it ends, and any comparison may match. ``fpir`` then covers all
                comparisons of the track together, so the threshold is higher.

        Returns:
            The threshold, at most 1.
        """
        place = min(max(1, bisect_right(self.shots, shots)), len(self.shots) - 1) if len(self.shots) > 1 else 0
        at = [self._at_width(n, fpir, list_size, face_px, live) for n in self.shots[max(0, place - 1) : place + 1]]
        if len(at) == 1:
            return min(1.0, at[0])
        low, high = self.shots[place - 1], self.shots[place]
        share = min(1.0, max(0.0, (shots - low) / (high - low)))
        return min(1.0, at[0] + share * (at[1] - at[0]))

    def entries(self) -> list[Measured]:
        """The measurements, one for each range of face widths and number of shots."""
        return [entry for entries in self._by_shots.values() for entry in entries]

    def people(self, face_px: float) -> int:
        """Number of strangers that were measured for the threshold at this face width."""
        entries = self._by_shots[self.shots[0]]
        return min(entries, key=lambda e: abs(math.log(e.face_px / max(1.0, face_px)))).people

    def decide(
        self, score: float, fpir: float, list_size: float, face_px: float, shots: int = 1, live: bool = False
    ) -> tuple[str, float]:
        """Compare a score with the threshold.

        Args:
            score: cosine to the nearest person.
            fpir, list_size, face_px, shots, live: see `cosine`.

        Returns:
            ``match`` or ``no_match``, and the threshold.
        """
        threshold = self.cosine(fpir, list_size, face_px, shots, live)
        return "match" if score >= threshold else "no_match", threshold

    def _at_width(self, shots: int, fpir: float, list_size: float, face_px: float, live: bool) -> float:
        """The threshold, interpolated linearly in the logarithm of the face width."""
        entries = self._by_shots[shots]
        cosines = [entry.cosine(fpir / entry.looks if live else fpir, list_size) for entry in entries]
        widths = [math.log(entry.face_px) for entry in entries]
        wanted = min(widths[-1], max(widths[0], math.log(max(1.0, face_px))))
        return cosines[0] if len(entries) == 1 else _linear(widths, cosines, wanted)


def _measured(entry: dict[str, Any]) -> Measured:
    low, high = (float(v) for v in entry["face_px"])
    cosines = tuple(tuple(float(v) for v in row) for row in entry["cosines"])
    lists, rates = (tuple(float(v) for v in entry[key]) for key in ("lists", "rates"))
    if len(cosines) != len(lists) or {len(row) for row in cosines} != {len(rates)}:
        raise ValueError("cosines: not one for each length of the list and each rate")
    return Measured(low, high, int(entry["shots"]), int(entry["people"]), lists, rates, cosines, float(entry.get("looks", LOOKS)))


def _of_pairs(impostors: list[dict[str, Any]]) -> list[Measured]:
    """Convert entries of earlier versions, each for faces up to ``face_px`` wide.

    A share ``10 ** log10_fmr[i]`` of pairs exceeds ``scores[i]``. Excesses over the last score follow a generalised Pareto
    distribution. Pairs are assumed to be independent.
    """
    found: list[Measured] = []
    for entry in sorted(impostors, key=lambda e: float(e["face_px"])):
        width = float(entry["face_px"])
        low = found[-1].to_px if found else 0.7 * width
        cosines = tuple(tuple(_pair_cosine(entry, rate, size) for rate in RATES) for size in LISTS)
        high = width if width < 1e3 else 1.5 * low
        found.append(Measured(low, high, 1, int(entry.get("people", 0)), LISTS, RATES, cosines))
    return found


def _pair_cosine(entry: dict[str, Any], rate: float, size: int) -> float:
    places, scores = [-float(v) for v in entry["log10_fmr"]], [float(v) for v in entry["scores"]]
    wanted = -math.log10(-math.expm1(math.log1p(-rate) / size))
    if wanted <= places[-1]:
        return _linear(places, scores, wanted)
    shape, scale = float(entry["tail"]["shape"]), float(entry["tail"]["scale"])
    rarer = 10 ** (wanted - places[-1])
    return scores[-1] + scale * (math.log(rarer) if abs(shape) < 1e-6 else (rarer**shape - 1) / shape)


def _linear(places: Sequence[float], values: Sequence[float], wanted: float) -> float:
    """Linear interpolation, with linear extrapolation beyond the first and last point."""
    at = min(max(1, bisect_right(places, wanted)), len(places) - 1)
    if len(places) == 1:
        return values[0]
    share = (wanted - places[at - 1]) / (places[at] - places[at - 1])
    return values[at - 1] + share * (values[at] - values[at - 1])
