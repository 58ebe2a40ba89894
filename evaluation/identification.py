"""Open-set search, as a watchlist does it: does a small face find its person, and does a stranger find nobody?

    python -m evaluation.identification --data DATA [--recognizer NAME=FILE ...] [--shots 1 3 5] [--input direct fused]

``DATA/lfw-dev``: everybody with two photos or more is enrolled with one sharp photo; probes are another photo of each, and one of
each stranger, as cameras see them (`cctv`, random lens, noise, exposure, compression) at a side of the 128-pixel chip. A probe is
a template of one or more shots of the same photo, each seen by another camera: `mean` of the vectors, or weighted by the square
of their quality. `input`: how a shot's vector is made (`evaluation.lfw.embedded`). FNIR at FPIR (NIST FRTE 1:N): the share of
enrolled people who are not found first above the threshold that so many of the strangers exceed. With 1,316 strangers FPIR 3e-3
rests on four of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.lfw import INPUTS, Chips, Lfw, Recognizer, Vectors, embedded, load_lfw, shrunk
from evaluation.metrics import fnir_at_fpir, rank_one
from evaluation.recognizers import open_recognizers
from models import load_superres

SIDES = (64, 48, 32, 24, 20, 16)
RATES = (1e-2, 3e-3)


def split(lfw: Lfw) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows of enrolled photos, of other photos of the same people in the same order, and of strangers."""
    enrolled, probes, strangers = [], [], []
    for name in np.unique(lfw.names):
        rows = np.flatnonzero(lfw.names == name)
        if len(rows) > 1:
            enrolled.append(rows[0])
            probes.append(rows[1])
        else:
            strangers.append(rows[0])
    return np.array(enrolled), np.array(probes), np.array(strangers)


Shots = list[dict[str, tuple[Vectors, Vectors]]]


def photographed(
    recognizer: Recognizer, chips: Chips, side: int, shots: int, restore: Callable[[Chips], Chips], inputs: Sequence[str]
) -> Shots:
    """Vectors and qualities of so many shots of each chip, by input."""
    return [embedded(recognizer, shrunk(chips, "cctv", side, seed=shot), restore, inputs) for shot in range(shots)]


def templates(shots: Shots, kind: str, weighted: bool) -> Vectors:
    """Unit templates of shots, their vectors made in one way."""
    total = np.sum([vectors * (quality[:, None] ** 2 if weighted else 1.0) for vectors, quality in (s[kind] for s in shots)], 0)
    return (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recognizer", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--side", type=int, nargs="+", default=SIDES)
    parser.add_argument("--input", choices=INPUTS, nargs="+", default=INPUTS)
    args = parser.parse_args()
    restore = load_superres().upscale
    lfw = load_lfw(args.data)
    enrolled, probes, strangers = split(lfw)
    print(f"{len(enrolled)} enrolled, one photo each; {len(strangers)} strangers")
    print(
        f"{'recogniser':12} side  {'input':8}  shots  {'template':8}  rank-1  "
        + "  ".join(f"FNIR@FPIR {rate:g}" for rate in RATES)
    )
    for name, recognizer in open_recognizers(args.recognizer).items():
        gallery = recognizer.embed_with_quality(lfw.chips[enrolled])[0]
        for side in args.side:
            seen = [
                photographed(recognizer, lfw.chips[rows], side, max(args.shots), restore, args.input)
                for rows in (probes, strangers)
            ]
            for kind, shots, weighted in product(seen[0][0], args.shots, (False, True)):
                if weighted and shots == 1:
                    continue
                known, unknown = (templates(group[:shots], kind, weighted) @ gallery.T for group in seen)
                rates = "  ".join(f"{100 * fnir_at_fpir(known, unknown, rate):14.1f}" for rate in RATES)
                way = "quality" if weighted else "mean"
                print(f"{name:12} {side:4}  {kind:8}  {shots:5}  {way:8}  {100 * rank_one(known):6.1f}  {rates}", flush=True)


if __name__ == "__main__":
    main()
