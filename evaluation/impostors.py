"""Scores that strangers reach against sharp photos, by width of the face: what thresholds are made from.

python -m evaluation.impostors --data DATA      # measures them for the shipped recogniser and puts them into its card
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

from evaluation.identification import templates
from evaluation.lfw import FACE_SHARE, Recognizer, as_shipped, shrunk
from models import load_recognizer, load_superres
from models.weights_io import WEIGHTS
from training.chips import load_chips
from watchlist.thresholds import Thresholds

BINS = ((10, 14), (14, 20), (20, 32), (32, 64), (64, 81))
LOG_FMR = (-0.5, -1.0, -1.5, -2.0)
SHOTS = 3
GALLERIES, RATES, DRAWS = (10, 100, 1000), (0.1, 0.03, 0.01), 20  # for the chances that a stranger has against so many photos

Scores = NDArray[np.float32]


def impostors(recognizer: Recognizer, data: Path, cache: Path) -> list[dict[str, Any]]:
    """One entry a bin of face widths, on the dev chips (never trained on, disjoint from lfw-dev); probes are templates of `SHOTS`
    shots as cameras take them, embedded as the pipeline does. Two pictures count as strangers' if their identities are named and
    differ, or if one of them is named and they come from different collections: within one without names both may show one
    person, and those of All-Age-Faces and UTKFace are children and babies in great part, who look alike to the recogniser as
    adults do not. So thresholds hold for lists of adults. The rarest hundredth of the scores is told by the generalised Pareto
    distribution fitted to it."""
    chips = load_chips(data, cache)
    # Computer-made portraits resemble each other more than people do (the teacher finds so too): left out.
    rows = np.flatnonzero(chips.dev & (chips.source != "gen"))
    images = np.ascontiguousarray(chips.images[rows])
    names, source = chips.identity[rows], chips.source[rows]
    named = (names != "").astype(int)
    both, one = (named[:, None] + named[None] > least for least in (1, 0))
    different = np.where(both, names[:, None] != names[None], one & (source[:, None] != source[None]))
    restore = load_superres().upscale
    gallery, _ = recognizer.embed_with_quality(images)
    found = []
    for place, (low, high) in enumerate(BINS):
        rng = np.random.default_rng(place)
        shots = []
        for shot in range(SHOTS):
            side = min(128, round(float(rng.uniform(low, high)) / FACE_SHARE))
            small = shrunk(images, "cctv", side, seed=100 * place + shot)
            shots.append({"shipped": as_shipped(recognizer, small, restore)})
        probes = templates(shots, "shipped", weighted=True)
        matrix = probes @ gallery.T
        scores = matrix[different]
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
                "chances": round(chances(matrix, different, rng), 3),
                "comparisons": int(scores.size),
                "same_photo_mean": round(float(own.mean()), 4),
            }
        )
    return found


def chances(scores: Scores, different: NDArray[np.bool_], rng: np.random.Generator) -> float:
    """The exponent a for which strangers (rows) err against N photos (columns) as often as in ``N ** a`` independent comparisons.

    Strangers' best scores against drawn galleries are set beside single comparisons: at the cosine that a share ``rate`` of the
    best scores exceed, a share ``single`` of all does, and ``1 - (1 - single) ** (N ** a) = rate``.
    """
    single = np.sort(scores[different])
    found = []
    for size in (n for n in GALLERIES if n <= scores.shape[1]):
        best = []
        for _ in range(DRAWS):
            columns = rng.choice(scores.shape[1], size, replace=False)
            best.append(np.where(different[:, columns], scores[:, columns], -1).max(1))
        for rate in RATES:
            share = 1 - np.searchsorted(single, np.quantile(np.concatenate(best), 1 - rate)) / len(single)
            found.append(np.log(np.log1p(-rate) / np.log1p(-share)) / np.log(size))
    return float(np.mean(found))


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
    path = WEIGHTS / "recognizer.json"
    card = json.loads(path.read_text())
    card["impostors"] = impostors(load_recognizer(), args.data, args.cache)
    path.write_text(json.dumps(card, indent=2) + "\n")
    show(card["impostors"])


if __name__ == "__main__":
    main()
