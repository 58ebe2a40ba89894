"""Fit a recogniser's thresholds to the user's own cameras. The samples are people in the footage, not single comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from watchlist.thresholds import Measured, Thresholds

MIN_STRANGERS = 30  # fewest people of one face width from which the median of the scores is fitted
MIN_FOR_SPREAD = 150  # fewest people from which the spread is fitted as well
SPREAD_LIMITS = 0.5, 2.0
SAME_PERSON_RATE = 1e-3  # rate at which tracks of two strangers may be grouped as one person
CERTAIN = 2.0  # standard errors by which the footage must differ from the card


@dataclass(frozen=True)
class Fit:
    """The fit for one range of face widths.

    Attributes:
        from_px, to_px: range of face widths in pixels.
        strangers: number of different people in the footage.
        shift: median difference of their highest scores from the card's median, in cosine.
        error: standard error of ``shift``; infinite if there are too few people.
        spread: ratio of the spread of their scores to the card's; 1 if there are too few people to estimate it.
        kept: why the card's thresholds stay; "" if they are replaced.
    """

    from_px: float
    to_px: float
    strangers: int
    shift: float
    error: float
    spread: float
    kept: str

    def text(self) -> str:
        """The fit as one line for the user."""
        line = f"faces of {self.from_px:g} to {self.to_px:g} px: {self.strangers} strangers"
        if math.isfinite(self.error):
            side = "above" if self.shift > 0 else "below"
            line += f", whose highest scores lie {abs(self.shift):.3f} ± {self.error:.3f} {side} those of the recogniser's card"
        return f"{line}: {f'the card is kept, {self.kept}' if self.kept else 'the thresholds follow them'}"


def group_people(vectors: NDArray[np.float32], face_px: NDArray[np.float32], thresholds: Thresholds) -> NDArray[np.intp]:
    """Group tracks by person, by average linkage of the cosine distances of their templates.

    Args:
        vectors: templates float32 (M, D), unit length.
        face_px: float32 (M,), width of each track's face in pixels.
        thresholds: of the recogniser. Tracks are grouped at the threshold of `SAME_PERSON_RATE` for the median face width.

    Returns:
        int (M,), a number from 0 on for the person of each track.
    """
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.intp)
    alike = thresholds.cosine(SAME_PERSON_RATE, 1, float(np.median(face_px)))
    tree = linkage(vectors.astype(np.float64), "average", "cosine")
    return np.unique(fcluster(tree, 1 - alike, "distance"), return_inverse=True)[1].reshape(-1)


def fit_to_footage(
    impostors: list[dict[str, Any]],
    highest: NDArray[np.float32],
    face_px: NDArray[np.float32],
    shots: NDArray[np.intp],
    person: NDArray[np.intp],
    list_size: float,
) -> tuple[list[dict[str, Any]], list[Fit]]:
    """Fit the impostor scores of a recogniser's card to the strangers of a user's footage.

    A few dozen people determine the median of the highest scores, and some hundred determine their spread. No footage has enough
    people for the rarest scores, so the shape of the tail is taken from the card.

    Args:
        impostors: entry ``impostors`` of the recogniser's card.
        highest: float32 (M,), highest cosine of each track to anybody on the list. No track may show anybody on the list.
        face_px: float32 (M,), face width of each track in pixels.
        shots: int (M,), number of shots of each track.
        person: int (M,), person of each track (`group_people`). The mean over a person's tracks is one sample.
        list_size: number of people on the list.

    Returns:
        The fitted entries in the format of a card, and one fit for each range of face widths.
    """
    thresholds = Thresholds(impostors)
    entries = thresholds.entries()
    fits: list[Fit] = []
    moved: list[dict[str, Any]] = []
    for low, high in sorted({(e.from_px, e.to_px) for e in entries}):
        own = [e for e in entries if (e.from_px, e.to_px) == (low, high)]
        inside = _nearest_width(face_px, entries) == math.sqrt(low * high)
        fit = _fit(thresholds, highest[inside], face_px[inside], shots[inside], person[inside], list_size, low, high)
        fits.append(fit)
        moved += [e.as_entry() if fit.kept else _move(e, fit, list_size) for e in own]
    return moved, fits


def _nearest_width(face_px: NDArray[np.float32], entries: list[Measured]) -> NDArray[np.float64]:
    widths = np.unique([e.face_px for e in entries])
    return np.asarray(widths[np.abs(np.log(face_px[:, None]) - np.log(widths)).argmin(1)])


def _fit(
    thresholds: Thresholds,
    highest: NDArray[np.float32],
    face_px: NDArray[np.float32],
    shots: NDArray[np.intp],
    person: NDArray[np.intp],
    list_size: float,
    low: float,
    high: float,
) -> Fit:
    middle, upper = (
        np.array([thresholds.cosine(rate, list_size, w, int(n)) for w, n in zip(face_px, shots, strict=True)])
        for rate in (0.5, 0.1)
    )
    people = np.unique(person)
    if len(people) < MIN_STRANGERS:
        return Fit(low, high, len(people), 0.0, math.inf, 1.0, f"{MIN_STRANGERS} strangers are needed")
    above = np.array([(highest - middle)[person == p].mean() for p in people])
    shift = float(np.median(above))
    error = 1.2533 * float(above.std(ddof=1)) / math.sqrt(len(people))
    spread = 1.0
    if len(people) >= MIN_FOR_SPREAD:
        spread = float((np.quantile(above, 0.9) - shift) / max(1e-6, float((upper - middle).mean())))
        spread = min(SPREAD_LIMITS[1], max(SPREAD_LIMITS[0], spread))
    if abs(shift) <= CERTAIN * error and abs(spread - 1) <= CERTAIN * math.sqrt(2 / len(people)):
        return Fit(low, high, len(people), shift, error, spread, "they differ no more than so few people do by chance")
    return Fit(low, high, len(people), shift, error, spread, "")


def _move(entry: Measured, fit: Fit, list_size: float) -> dict[str, Any]:
    """The card's entry with its median shifted and its spread scaled."""
    middle = entry.cosine(0.5, list_size)
    cosines = [[round(middle + fit.shift + fit.spread * (value - middle), 4) for value in row] for row in entry.cosines]
    return entry.as_entry() | {"cosines": cosines, "people": fit.strangers, "shift": round(fit.shift, 4)}
