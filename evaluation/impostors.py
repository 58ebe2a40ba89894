"""Scores that strangers reach against sharp photos, by width of the face: what thresholds are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluation.lfw import FACE_SHARE, Recognizer, shrunk
from training.chips import load_chips

BINS = ((10, 14), (14, 20), (20, 32), (32, 64), (64, 81))
LOG_FMR = (-1.0, -1.5, -2.0, -2.5, -3.0, -3.5, -4.0, -4.5, -5.0)
SHOTS = 3


def impostors(recognizer: Recognizer, data: Path, cache: Path) -> list[dict[str, Any]]:
    """One entry a bin of face widths, on the dev chips (never trained on, disjoint from lfw-dev); probes are templates of `SHOTS`
    shots as cameras take them."""
    chips = load_chips(data, cache)
    # Computer-made portraits resemble each other more than people do (the teacher finds so too): left out.
    rows = np.flatnonzero(chips.dev & (chips.source != "gen"))
    images = np.ascontiguousarray(chips.images[rows])
    labels = np.array([chips.identity[r] or f"row {r}" for r in rows])
    gallery, _ = recognizer.embed_with_quality(images)
    different = labels[:, None] != labels[None, :]
    found = []
    for place, (low, high) in enumerate(BINS):
        rng = np.random.default_rng(place)
        total = np.zeros_like(gallery)
        for shot in range(SHOTS):
            side = min(128, round(float(rng.uniform(low, high)) / FACE_SHARE))
            vectors, quality = recognizer.embed_with_quality(shrunk(images, "cctv", side, seed=100 * place + shot))
            total += vectors * quality[:, None] ** 2
        probes = total / np.linalg.norm(total, axis=1, keepdims=True)
        scores = (probes @ gallery.T)[different]
        quantiles = np.quantile(scores, [1 - 10**f for f in LOG_FMR])
        own = (probes * gallery).sum(1)
        found.append(
            {
                "face_px": float(high) if place < len(BINS) - 1 else 1e9,
                "log10_fmr": list(LOG_FMR),
                "scores": [round(float(q), 4) for q in quantiles],
                "comparisons": int(scores.size),
                "same_photo_mean": round(float(own.mean()), 4),
            }
        )
    return found
