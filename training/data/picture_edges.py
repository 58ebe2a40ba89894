"""Chips that reach beyond their source picture: what lies outside is covered, and left out of losses.

Some source pictures are cropped tightly, so a part of the chip shows nothing real (a mirrored or drawn-out strip). A network that
learns from it learns eyes above foreheads. ``DATA/chips/edges.npz`` holds the corners of each source picture.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SUBPIXEL_BITS = 4  # of the polygons that OpenCV fills
BLUR = 12.0  # pixels, sigma of the blurred continuation
FEATHER = 1.0  # pixels, sigma of the border between the picture and its cover


def load_edges(folder: Path, count: int) -> NDArray[np.float32]:
    """Corners of the source picture of each chip.

    Args:
        folder: ``DATA/chips``.
        count: number of chips.

    Returns:
        float32 (count, 4, 2) in chip pixels; all zero where the picture covers the chip, or where no file tells.
    """
    file = folder / "edges.npz"
    if not file.exists():
        return np.zeros((count, 4, 2), np.float32)
    with np.load(file) as edges:
        return np.asarray(edges["half_pixels"].astype(np.float32) / 2)


def inside(corners: NDArray[np.float32], side: int) -> NDArray[np.bool_]:
    """Which pixels of a chip its source picture covers.

    Args:
        corners: float32 (4, 2) in pixels of the chip; all zero: the picture covers the chip.
        side: side of the chip in pixels.

    Returns:
        bool (side, side).
    """
    if not corners.any():
        return np.ones((side, side), np.bool_)
    mask = np.zeros((side, side), np.uint8)
    polygon = np.round(corners * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(mask, polygon, 1, cv2.LINE_8, SUBPIXEL_BITS)
    return mask.astype(np.bool_)


def cover_outside(chip: NDArray[np.uint8], corners: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Replace what lies outside the source picture by one tone, noise, or a blurred continuation, at random.

    Args:
        chip: uint8 (side, side, 3) RGB.
        corners: of the source picture, float32 (4, 2) in chip pixels; all zero: the chip is returned as it is.
        rng: draws the kind of cover.

    Returns:
        uint8 (side, side, 3).
    """
    if not corners.any():
        return chip
    covered = inside(corners, len(chip))
    if not covered.any() or covered.all():
        return chip
    kind = rng.integers(3)
    if kind == 0:
        cover = np.full(chip.shape, rng.integers(0, 256), np.float32)
    elif kind == 1:
        cover = rng.normal(rng.uniform(40, 215), rng.uniform(5, 50), chip.shape).astype(np.float32)
    else:
        cover = _continued(chip, covered)
    weight = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), FEATHER)[..., None] * covered[..., None]
    return np.asarray((chip * weight + cover.clip(0, 255) * (1 - weight) + 0.5).astype(np.uint8))


def _continued(chip: NDArray[np.uint8], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Float32 (side, side, 3): the blurred picture, continued beyond its edge by a normalised blur."""
    known = covered[..., None].astype(np.float32)
    total = cv2.GaussianBlur(chip * known, (0, 0), BLUR)
    share = cv2.GaussianBlur(known, (0, 0), BLUR)[..., None]
    mean = (chip * known).sum((0, 1)) / known.sum()
    return np.asarray(np.where(share > 1e-3, total / np.maximum(share, 1e-3), mean), np.float32)
