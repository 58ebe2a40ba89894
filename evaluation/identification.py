"""Open-set identification of small faces: FNIR at fixed FPIR.

    python -m evaluation.identification --data DATA [--recognizer NAME=FILE ...] [--shots 1 3 5] [--input direct fused]

Data: ``DATA/lfw-dev``. Everybody with two photos or more is enrolled with one sharp photo. Probes are a second photo of each
enrolled person and one photo of each stranger, degraded by random cameras (preset `cctv`) to a side of the 128-pixel chip.
A probe is a template of one or more shots of the same photo, each by another camera. Its shots are averaged (`mean`) or weighted
by the square of their quality (`quality`, as the pipeline does). `input` says how a shot is embedded
(`evaluation.lfw.embed_each_way`). FNIR at FPIR follows NIST FRTE 1:N: the share of enrolled people who are not at rank one above
the threshold that the given share of strangers exceeds. With 1,316 strangers FPIR 3e-3 rests on four of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.lfw import INPUTS, Chips, Embeddings, Lfw, Recognizer, degrade, embed_each_way, load_lfw
from evaluation.metrics import fnir_at_fpir, rank_one
from evaluation.recognizers import open_recognizers
from evaluation.stage_templates import aggregated
from models import load_superres

SIDES = (64, 48, 32, 24, 20, 16)
RATES = (1e-2, 3e-3)


def split(lfw: Lfw) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Split ``lfw-dev`` for identification.

    Returns:
        Rows of the enrolled photos, rows of a second photo of each enrolled person in the same order, and rows of strangers,
        of whom there is one photo each.
    """
    enrolled, probes, strangers = [], [], []
    for name in np.unique(lfw.names):
        rows = np.flatnonzero(lfw.names == name)
        if len(rows) > 1:
            enrolled.append(rows[0])
            probes.append(rows[1])
        else:
            strangers.append(rows[0])
    return np.array(enrolled), np.array(probes), np.array(strangers)


Shots = list[dict[str, tuple[Embeddings, Embeddings]]]


def embed_shots(
    recognizer: Recognizer, chips: Chips, side: int, shots: int, superres: Callable[[Chips], Chips], inputs: Sequence[str]
) -> Shots:
    """Embed several camera shots of each chip.

    Args:
        recognizer: the recogniser.
        chips: sharp chips uint8 (N, 128, 128, 3) RGB.
        side: side of the degraded chip in pixels.
        shots: number of shots, each by another random camera.
        superres: super-resolves small chips.
        inputs: see `evaluation.lfw.embed_each_way`.

    Returns:
        For each shot, embeddings (N, D) and qualities (N,) by input.
    """
    return [embed_each_way(recognizer, degrade(chips, "cctv", side, seed=shot), superres, inputs) for shot in range(shots)]


def templates(shots: Shots, kind: str, weighted: bool) -> Embeddings:
    """Aggregate shots to templates, with the pipeline's own stage.

    Args:
        shots: what `embed_shots` returns.
        kind: the input whose embeddings are taken.
        weighted: weigh shots by the square of their quality, as the pipeline does; else the plain mean.

    Returns:
        Unit embeddings float32 (N, D).
    """
    embeddings, quality = (np.stack(parts, 1) for parts in zip(*(shot[kind] for shot in shots), strict=True))
    return aggregated(embeddings, quality, power=2.0 if weighted else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recognizer", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--side", type=int, nargs="+", default=SIDES)
    parser.add_argument("--input", choices=INPUTS, nargs="+", default=INPUTS)
    args = parser.parse_args()
    superres = load_superres().upscale
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
            probed = [
                embed_shots(recognizer, lfw.chips[rows], side, max(args.shots), superres, args.input)
                for rows in (probes, strangers)
            ]
            for kind, shots, weighted in product(probed[0][0], args.shots, (False, True)):
                if weighted and shots == 1:
                    continue
                known, unknown = (templates(group[:shots], kind, weighted) @ gallery.T for group in probed)
                rates = "  ".join(f"{100 * fnir_at_fpir(known, unknown, rate):14.1f}" for rate in RATES)
                way = "quality" if weighted else "mean"
                print(f"{name:12} {side:4}  {kind:8}  {shots:5}  {way:8}  {100 * rank_one(known):6.1f}  {rates}", flush=True)


if __name__ == "__main__":
    main()
