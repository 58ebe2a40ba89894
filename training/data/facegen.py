"""Fit the face generator's linear appearance model to computer-made portraits.

    python -m training.data.facegen --data DATA --out models/weights/facegen.safetensors

Only chips of the source ``gen`` are read; they show no real people. It takes a minute on 2 cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save_file

from models.networks.facegen import flow_between
from models.weights_io import write_card
from training.common.runs import current_command
from training.data.chips import load_chips

SIDE, TEXTURES, SHAPES = 96, 220, 16
CARD = {
    "kind": "facegen",
    "about": "linear appearance model of faces: shape of 68 landmarks, texture of 96x96 on the mean shape",
    "licence": "Apache-2.0 for the weights; research use: terms of the portraits are not stated",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    args = parser.parse_args()
    chips = load_chips(args.data, args.cache)
    marks = chips.landmarks68()
    rows = np.flatnonzero((chips.source == "gen") & (marks.any((1, 2))))

    shapes = marks[rows].reshape(len(rows), -1)
    mean_shape = shapes.mean(0)
    _, spread, axes = np.linalg.svd(shapes - mean_shape, full_matrices=False)
    shape_basis = axes[:SHAPES] * (spread[:SHAPES, None] / np.sqrt(len(rows)))

    flat = np.empty((len(rows), SIDE * SIDE * 3), np.float32)
    for place, row in enumerate(rows):
        x, y = flow_between(mean_shape.reshape(68, 2), marks[row], SIDE)
        warped = cv2.remap(
            np.ascontiguousarray(chips.images[row]), x - 0.5, y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        flat[place] = warped.reshape(-1)
        if place % 500 == 0:
            print(f"warped {place} of {len(rows)}", flush=True)
    mean_texture = flat.mean(0)
    flat -= mean_texture
    values, vectors = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(-values)[:TEXTURES]
    basis = (vectors[:, order].T @ flat) / np.sqrt(len(rows))  # each row is one standard deviation in grey levels
    print(f"{values[order].sum() / values.sum():.1%} of the texture's variance in {TEXTURES} axes")
    scale = np.abs(basis).max(1) / 127
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "mean_shape": mean_shape.reshape(68, 2).astype(np.float32),
            "shape_basis": shape_basis.astype(np.float32),
            "mean_texture": mean_texture.reshape(SIDE, SIDE, 3).astype(np.float16),
            "texture_basis": np.round(basis / scale[:, None]).astype(np.int8),
            "texture_scale": scale.astype(np.float32),
        },
        str(args.out),
    )
    data = f"{len(rows):,} computer-made portraits, nobody real; terms not stated"
    write_card(args.out, CARD | {"data": data, "command": current_command()})


if __name__ == "__main__":
    main()
