"""Fit impostor scores, and with them the thresholds, to a user's own cameras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

MIN_COMPARISONS = 1000  # comparisons that a bin needs for its scores to replace those of the card
MIN_EXCESSES = 200  # scores in the tail that a bin needs for its tail to replace that of the card
TAIL_SHARE = 0.01  # share of the scores that the generalised Pareto distribution of the tail is fitted to


def fit_impostor_scores(
    impostors: list[dict[str, Any]], scores: NDArray[np.float32], face_px: NDArray[np.float32]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Replace the bins of a recogniser's impostor scores that the user's own footage has enough comparisons for.

    A bin with enough comparisons and too few scores in its tail keeps the card's tail after the new scores.

    Args:
        impostors: bins of the recogniser's card.
        scores: cosines float32 (M, N) of M strangers' tracks to N enrolled photos.
        face_px: face width (M,) of each track in pixels.

    Returns:
        The bins, and the number of comparisons in each.
    """
    bins, counts = [], []
    low = 0.0
    for card in sorted(impostors, key=lambda b: float(b["face_px"])):
        in_bin = scores[(face_px > low) & (face_px <= card["face_px"])].ravel()
        low = card["face_px"]
        counts.append(int(in_bin.size))
        if in_bin.size < MIN_COMPARISONS:
            bins.append(card)
            continue
        levels = [level for level in card["log10_fmr"] if 10**level >= TAIL_SHARE * 0.999]
        quantiles = [float(q) for q in np.quantile(in_bin, [1 - 10**level for level in levels])]
        excesses = in_bin[in_bin > quantiles[-1]] - quantiles[-1]
        tail = card["tail"]
        if len(excesses) >= MIN_EXCESSES:
            shape, _, scale = genpareto.fit(excesses, floc=0)
            tail = {"shape": float(shape), "scale": float(scale)}
        bins.append({**card, "log10_fmr": levels, "scores": quantiles, "tail": tail, "comparisons": int(in_bin.size)})
    return bins, counts
