"""Impostor scores by face width, from which decision thresholds are computed.

python -m evaluation.impostors --data DATA      # measures the shipped recogniser and writes into its card
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

from evaluation.lfw import FACE_SHARE, camera_shots
from evaluation.stage_templates import StageTemplates, embeddings_of
from models import load_recognizer
from models.weights_io import WEIGHTS, update_card
from training.data.chips import load_chips
from watchlist.thresholds import Thresholds

BINS = ((10, 14), (14, 20), (20, 32), (32, 64), (64, 81))  # face widths in pixels
LOG_FMR = (-0.5, -1.0, -1.5, -2.0)
SHOTS = 3  # of each probe


def impostor_scores(recognizer: Path | None, data: Path, cache: Path) -> list[dict[str, Any]]:
    """Measure impostor scores on the dev chips, which never train and are disjoint from ``lfw-dev``.

    Probes are templates of `SHOTS` camera shots, made by the pipeline's own stages. The gallery holds sharp chips. A generalised
    Pareto distribution is fitted to the highest hundredth of the scores.

    Args:
        recognizer: a weight file or an ONNX file; None: the shipped one.
        data: the data folder.
        cache: folder of decoded chips.

    Returns:
        One entry a bin of face widths, as a recogniser's card holds them and `watchlist.thresholds.Thresholds` reads them.
    """
    chips = load_chips(data, cache)
    rows = np.flatnonzero(chips.dev & (chips.identity != ""))
    images = np.ascontiguousarray(chips.images[rows])
    different = different_people(chips.identity[rows])
    gallery, _ = load_recognizer(recognizer).embed_with_quality(images)
    stages = StageTemplates(recognizer)
    found = []
    for place, (low, high) in enumerate(BINS):
        rng = np.random.default_rng(place)
        shots = []
        for _ in range(SHOTS):
            sides = np.minimum(128, (rng.uniform(low, high, len(rows)) / FACE_SHARE).round().astype(int)).tolist()
            shots.append(camera_shots(images, sides, rng))
        probes = embeddings_of(stages(list(zip(*shots, strict=True))), gallery.shape[1])
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


def different_people(names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which pairs of pictures certainly show two people.

    Unnamed pictures never count: two of them may show one person. Many show children, who resemble each other more than adults
    do. So thresholds hold for watchlists of adults.

    Args:
        names: str (N,), "" where the person is not known.

    Returns:
        bool (N, N), true where both are named and the names differ.
    """
    return (names[:, None] != names[None]) & (names != "")[:, None] & (names != "")[None]


def show(found: list[dict[str, Any]]) -> None:
    """Print the threshold at three false match rates (FMR), by face width."""
    thresholds = Thresholds(found)
    for b in found:
        reached = ", ".join(f"{thresholds.cosine(rate, 1, b['face_px']):.3f} at FMR {rate:g}" for rate in (1e-2, 1e-3, 1e-4))
        print(f"up to {b['face_px']:g} px: threshold {reached}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    args = parser.parse_args()
    found = impostor_scores(None, args.data, args.cache)
    update_card(WEIGHTS / "recognizer.safetensors", impostors=found)
    show(found)


if __name__ == "__main__":
    main()
