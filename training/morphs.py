"""Faces between two people, named by the teacher: more people to learn from than there are photos of.

    python -m training.morphs --data DATA --teacher edgeface_xs.safetensors --out .cache/morphs [--number 60000]

A recogniser that learns a teacher's vectors of some thousand people soon knows those people by heart. A face drawn between two of
them is nobody's, and the teacher says as readily what it looks like. Both faces are warped to a shape between theirs (piecewise
affine over 68 landmarks) and blended, the eyes perhaps more of the one and the mouth more of the other. Of each face's possible
partners, one that the teacher finds alike is taken, so that the result looks like a person. Dev rows take no part. Written:
``images.npy`` uint8 (N, 128, 128, 3) RGB and ``vectors.npy`` float32 (N, 256), unit vectors on the same axes as the chips' own.
It takes minutes, and a stopped one begins anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.interpolate import LinearNDInterpolator

from models.chip import CHIP
from training.chips import ChipSet, load_chips
from training.edgeface import EdgeFace

CANDIDATES = 16  # possible partners, the most alike of which is taken
SHARE, UNEVEN = (0.3, 0.7), 0.25  # of the second face, and how much that varies over the face
STEP = 4  # pixels between the points at which the warp is worked out
AT_ONCE = 512

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

_EDGE = (0.0, (CHIP - 1) / 2, CHIP - 1.0)
FRAME = np.array([(x, y) for x in _EDGE for y in _EDGE if (x, y) != (_EDGE[1], _EDGE[1])], np.float32)  # stays where it is
GRID = np.stack(np.meshgrid(*[np.linspace(0, CHIP - 1, CHIP // STEP)] * 2), -1).reshape(-1, 2)


def shares(rng: np.random.Generator) -> NDArray[np.float32]:
    """How much of each pixel is to be the second face's, (128, 128): a third to two thirds, changing smoothly over the face."""
    coarse = rng.uniform(*SHARE) + rng.normal(0, UNEVEN, (3, 3))
    return np.clip(cv2.resize(coarse, (CHIP, CHIP), interpolation=cv2.INTER_CUBIC), 0, 1).astype(np.float32)


def at(points: Points, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map's values (N, 1) at points (N, 2)."""
    x, y = np.clip(points.round().astype(int), 0, CHIP - 1).T
    return picture[y, x, None]


def warp(chips: Sequence[Image], sources: Sequence[Points], target: Points) -> list[Image]:
    """Chips (128, 128, 3), each moved so that its points (68, 2) come to lie on ``target``."""
    shifts = [np.concatenate([source - target, 0 * FRAME]) for source in sources]
    field = LinearNDInterpolator(np.concatenate([target, FRAME]), np.concatenate(shifts, 1))(GRID)
    coarse = np.nan_to_num(field).astype(np.float32).reshape(CHIP // STEP, CHIP // STEP, -1)
    full = cv2.resize(coarse, (CHIP, CHIP), interpolation=cv2.INTER_LINEAR)
    x, y = np.meshgrid(np.arange(CHIP, dtype=np.float32), np.arange(CHIP, dtype=np.float32))
    return [
        np.asarray(
            cv2.remap(chip, x + move[..., 0], y + move[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )
        for chip, move in zip(chips, np.split(full, len(chips), 2), strict=True)
    ]


def morph(first: Image, of_first: Points, second: Image, of_second: Points, share: NDArray[np.float32]) -> Image:
    """The face between two; of each pixel, ``share`` (128, 128) is the second's."""
    part = at((of_first + of_second) / 2, share)
    faces = warp((first, second), (of_first, of_second), (1 - part) * of_first + part * of_second)
    return np.asarray(faces[0] + share[..., None] * (faces[1].astype(np.float32) - faces[0]) + 0.5, np.uint8)


def pairs(rows: NDArray[np.intp], vectors: NDArray[np.float32], number: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """``number`` pairs of rows (number, 2): any first, and the most alike of some others as second."""
    first = rng.choice(rows, number)
    others = rng.choice(rows, (number, CANDIDATES))
    alike = np.einsum("nd,ncd->nc", vectors[first], vectors[others])
    alike[others == first[:, None]] = -1
    return np.stack([first, others[np.arange(number), alike.argmax(1)]], 1)


def axes(teacher: EdgeFace, chips: ChipSet, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """The matrix (512, 256) that turns the teacher's vectors onto the axes of those kept beside the chips."""
    turn = np.linalg.lstsq(teacher.embed(chips.images[rows]), chips.teacher_embeddings()[rows], rcond=None)[0]
    return np.asarray(turn, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="weights of EdgeFace-XS")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=60_000)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    chips, teacher = load_chips(args.data, args.cache), EdgeFace(args.teacher)
    points, vectors = chips.landmarks68(), chips.teacher_embeddings()
    rows = np.flatnonzero(~chips.dev & points.any((1, 2)))
    turn = axes(teacher, chips, rng.choice(rows, min(len(rows), 2048), replace=False))

    args.out.mkdir(parents=True, exist_ok=True)
    part = args.out / "images.part"
    images = np.lib.format.open_memmap(part, "w+", np.uint8, (args.number, CHIP, CHIP, 3))
    found = []
    for start in track(range(0, args.number, AT_ONCE), "faces between two people"):
        chosen = pairs(rows, vectors, min(AT_ONCE, args.number - start), rng)
        made = np.stack([morph(chips.images[a], points[a], chips.images[b], points[b], shares(rng)) for a, b in chosen])
        images[start : start + len(made)] = made
        found.append(teacher.embed(made, mirrored=False) @ turn)
    named = np.concatenate(found)
    np.save(args.out / "vectors.npy", named / np.linalg.norm(named, axis=1, keepdims=True))
    images.flush()
    part.rename(args.out / "images.npy")


if __name__ == "__main__":
    main()
