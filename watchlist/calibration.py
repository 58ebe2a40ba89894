"""Fit impostor scores, and so the thresholds, to a user's own cameras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

MIN_COMPARISONS = 1000  # for a bin's scores to replace the card's
MIN_EXCESSES = 200  # for its tail to do so as well
TAIL_SHARE = 0.01  # share of the scores that the tail's distribution is fitted to


def fit_impostor_scores(
    impostors: list[dict[str, Any]], scores: NDArray[np.float32], face_px: NDArray[np.float32]
) -> tuple[list[dict[str, Any]], list[int]]:
    """A recogniser's ``impostors`` with those bins replaced that ``scores`` (M, N), of M strangers with faces ``face_px`` (M,)
    wide against N enrolled photos, have enough of; and the comparisons in each bin.

    Where there are too few for a tail of their own, the card's tail is put behind the new scores.
    """
    bins, counts = [], []
    low = 0.0
    for card in sorted(impostors, key=lambda b: float(b["face_px"])):
        found = scores[(face_px > low) & (face_px <= card["face_px"])].ravel()
        low = card["face_px"]
        counts.append(int(found.size))
        if found.size < MIN_COMPARISONS:
            bins.append(card)
            continue
        levels = [level for level in card["log10_fmr"] if 10**level >= TAIL_SHARE * 0.999]
        quantiles = [float(q) for q in np.quantile(found, [1 - 10**level for level in levels])]
        excesses = found[found > quantiles[-1]] - quantiles[-1]
        tail = card["tail"]
        if len(excesses) >= MIN_EXCESSES:
            shape, _, scale = genpareto.fit(excesses, floc=0)
            tail = {"shape": float(shape), "scale": float(scale)}
        bins.append({**card, "log10_fmr": levels, "scores": quantiles, "tail": tail, "comparisons": int(found.size)})
    return bins, counts
