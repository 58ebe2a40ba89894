"""How well the recogniser tells people apart when faces are small, and how like each other strangers look.

    python -m evaluation.recognition --data DATA [--pairs 3000] [--recognizer FILE] [--write-card]

Verification on ``DATA/lfw-dev`` (10-fold protocol's pairs, folds 1 to 5; never trained on): a sharp photo against a
degraded face. Each size is measured with the chip itself, and with the chip super-resolved first. ``--write-card``
also measures impostor scores on the dev chips (held out of training, disjoint from lfw-dev) and puts figures and
impostors into the recogniser's card.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.metrics import tar_at_far, verification_accuracy
from models import _weights, load_recognizer, load_superres
from models.chip import RUNGS
from training.chips import load_chips
from training.degradations import PRESETS

FACE_SHARE = 0.63  # width of the face within a chip
SIZES = (16, 20, 24, 32, 48)
BINS = ((10, 14), (14, 20), (20, 32), (32, 64), (64, 81))
LOG_FMR = (-1.0, -1.5, -2.0, -2.5, -3.0, -3.5, -4.0, -4.5, -5.0)
SHOTS = 3


def to_rung(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A chip of any side on the rung it would enter the ladder at: the next one up."""
    import cv2

    side = next(r for r in RUNGS if r >= chip.shape[0])
    return chip if side == chip.shape[0] else cv2.resize(chip, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def embed_degraded(
    recognizer: Any,
    chips: NDArray[np.uint8],
    preset: str,
    side: int,
    seed: int,
    restore: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors and qualities of chips seen by a camera at ``side`` pixels."""
    rng = np.random.default_rng(seed)
    small = np.stack([to_rung(PRESETS[preset](np.ascontiguousarray(c), side, rng)) for c in chips])
    if restore is not None and small.shape[1] < 128:
        small = restore(small)
    found: tuple[NDArray[np.float32], NDArray[np.float32]] = recognizer.embed_with_quality(small)
    return found


def load_lfw(data: Path) -> tuple[NDArray[np.uint8], list[tuple[int, int, bool, int]]]:
    """Chips (N, 128, 128, 3) and pairs (left row, right row, same, fold)."""
    folder = data / "lfw-dev"
    with (folder / "index.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)]
    place = {name: i for i, name in enumerate(names)}
    chips = np.zeros((len(names), 128, 128, 3), np.uint8)
    with tarfile.open(folder / "chips.tar") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and member.name in place:
                chips[place[member.name]] = np.asarray(Image.open(io.BytesIO(content.read())).convert("RGB"))
    with (folder / "pairs.csv").open() as file:
        pairs = [(place[r["left"]], place[r["right"]], r["same"] == "1", int(r["fold"])) for r in csv.DictReader(file)]
    return chips, pairs


def verify(recognizer: Any, data: Path, most_pairs: int) -> list[dict[str, Any]]:
    """One row a degradation, size and kind of input."""
    superres = load_superres(device="auto")
    chips, pairs = load_lfw(data)
    pairs = pairs[:: max(1, len(pairs) // most_pairs)]
    left, right = (np.array([p[i] for p in pairs]) for i in (0, 1))
    same, fold = np.array([p[2] for p in pairs]), np.array([p[3] for p in pairs])
    sharp, _ = recognizer.embed_with_quality(chips)
    rows = []

    def add(name: str, side: int, kind: str, probes: NDArray[np.float32]) -> None:
        scores = (sharp[left] * probes).sum(1)
        rows.append(
            {
                "degradation": name,
                "side": side,
                "face_px": round(side * FACE_SHARE, 1),
                "input": kind,
                "accuracy": verification_accuracy(scores, same, fold),
                "tar_1e-2": tar_at_far(scores, same, 1e-2),
            }
        )

    add("none", 128, "chip", sharp[right])
    for preset in ("area", "cctv-fixed"):
        for side in SIZES:
            add(preset, side, "chip", embed_degraded(recognizer, chips[right], preset, side, 1)[0])
            add(preset, side, "super-resolved", embed_degraded(recognizer, chips[right], preset, side, 1, superres.upscale)[0])
    return rows


def impostors(recognizer: Any, data: Path, cache: Path) -> list[dict[str, Any]]:
    """Scores that strangers reach against sharp photos, by width of the face; probes are templates of `SHOTS` camera shots."""
    chips = load_chips(data, cache)
    # Computer-made portraits resemble each other more than people do (the teacher finds so too): left out.
    rows = np.flatnonzero(chips.dev & (chips.source != "gen"))
    images = np.ascontiguousarray(chips.images[rows])
    labels = np.array([chips.identity[r] or f"row {r}" for r in rows])
    gallery = recognizer.embed(images)
    different = labels[:, None] != labels[None, :]
    found = []
    for place, (low, high) in enumerate(BINS):
        rng = np.random.default_rng(place)
        total = np.zeros_like(gallery)
        for shot in range(SHOTS):
            side = round(float(rng.uniform(low, high)) / FACE_SHARE)
            vectors, quality = embed_degraded(recognizer, images, "cctv", min(128, side), 100 * place + shot)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--recognizer", type=Path, help="another one than the project's own")
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    recognizer = load_recognizer(args.recognizer)
    rows = verify(recognizer, args.data, args.pairs)
    print(f"{'degradation':12} side  face px  {'input':15} accuracy  TAR@FAR 1e-2")
    for r in rows:
        print(
            f"{r['degradation']:12} {r['side']:4}  {r['face_px']:7}  {r['input']:15} "
            f"{100 * r['accuracy']:7.1f}   {100 * r['tar_1e-2']:7.1f}"
        )
    if args.write_card:
        path = _weights(args.recognizer, "recognizer").with_suffix(".json")
        card = recognizer.card
        card["impostors"] = impostors(recognizer, args.data, args.cache)
        card["figures"] = {
            "command": f"python -m evaluation.recognition --data DATA --pairs {args.pairs}",
            "data": "lfw-dev, sharp photo against degraded face",
            "rows": [{k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()} for r in rows],
        }
        path.write_text(json.dumps(card, indent=2) + "\n")
        for b in card["impostors"]:
            print(
                f"up to {b['face_px']:g} px: strangers reach {b['scores'][2]:.3f} at FMR 1e-2, "
                f"{b['scores'][4]:.3f} at 1e-3, {b['scores'][6]:.3f} at 1e-4"
            )


if __name__ == "__main__":
    main()
