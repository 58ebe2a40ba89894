"""Scores that strangers reach against sharp photos, by width of the face: what thresholds are made from.

python -m evaluation.impostors --data DATA      # measures them for the shipped recogniser and puts them into its card
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

from evaluation.identification import templates
from evaluation.lfw import FACE_SHARE, Recognizer, as_seen
from models import load_recognizer, load_superres
from models.weights_io import WEIGHTS, update_card
from training.data.chips import load_chips
from watchlist.thresholds import Thresholds

BINS = ((10, 14), (14, 20), (20, 32), (32, 64), (64, 81))
LOG_FMR = (-0.5, -1.0, -1.5, -2.0)
SHOTS = 3


def impostors(recognizer: Recognizer, data: Path, cache: Path) -> list[dict[str, Any]]:
    """One entry a bin of face widths, on the dev chips (never trained on, disjoint from lfw-dev); probes are templates of `SHOTS`
    shots as cameras take them, embedded as the pipeline does. The rarest hundredth of the scores is told by a generalised Pareto
    distribution fitted to it."""
    chips = load_chips(data, cache)
    rows = np.flatnonzero(chips.dev & (chips.identity != ""))
    images = np.ascontiguousarray(chips.images[rows])
    different = strangers(chips.identity[rows])
    restore = load_superres().upscale
    gallery, _ = recognizer.embed_with_quality(images)
    found = []
    for place, (low, high) in enumerate(BINS):
        rng = np.random.default_rng(place)
        shots = []
        for _ in range(SHOTS):
            sides = np.minimum(128, (rng.uniform(low, high, len(rows)) / FACE_SHARE).round().astype(int)).tolist()
            shots.append({"shipped": as_seen(recognizer, images, sides, restore, rng)})
        probes = templates(shots, "shipped", weighted=True)
        scores = (probes @ gallery.T)[different]
        quantiles = np.quantile(scores, [1 - 10**f for f in LOG_FMR])
        over = scores[scores > quantiles[-1]] - quantiles[-1]
        shape, _, scale = genpareto.fit(over, floc=0)
        own = (probes * gallery).sum(1)
        found.append(
            {
                "face_px": float(high) if place < len(BINS) - 1 else 1e9,
                "log10_fmr": list(LOG_FMR),
                "scores": [round(float(q), 4) for q in quantiles],
                "tail": {"shape": round(float(shape), 4), "scale": round(float(scale), 5)},
                "comparisons": int(scores.size),
                "people": len(set(chips.identity[rows])),
                "same_photo_mean": round(float(own.mean()), 4),
            }
        )
    return found


def strangers(names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which pictures are certainly of two people (N, N), by their names (N,): both are named ("": nobody) and differ. The
    unnamed ones may show one person twice, and are children and babies in great part, who are more like each other and less like
    adults than adults are. So thresholds hold for lists of adults."""
    return (names[:, None] != names[None]) & (names != "")[:, None] & (names != "")[None]


def show(found: list[dict[str, Any]]) -> None:
    """Print the cosines that strangers exceed, by width of the face."""
    thresholds = Thresholds(found)
    for b in found:
        reached = ", ".join(f"{thresholds.cosine(rate, 1, b['face_px']):.3f} at FMR {rate:g}" for rate in (1e-2, 1e-3, 1e-4))
        print(f"up to {b['face_px']:g} px: strangers reach {reached}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    args = parser.parse_args()
    found = impostors(load_recognizer(), args.data, args.cache)
    update_card(WEIGHTS / "recognizer.safetensors", impostors=found)
    show(found)


if __name__ == "__main__":
    main()
