"""Handle chips that extend beyond their source picture: mask the pixels outside it, and exclude them from losses.

Some source pictures are cropped tightly, so a part of the chip is border padding (mirrored or replicated pixels). A network that
trains on it learns artefacts such as eyes above foreheads. ``DATA/chips/edges.npz`` holds the corners of each source picture.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SUBPIXEL_BITS = 4  # fractional bits of the polygon coordinates passed to OpenCV
BLUR = 12.0  # sigma of the blurred extension, in pixels
FEATHER = 1.0  # sigma of the transition from the picture to the fill, in pixels


def load_edges(folder: Path, count: int) -> NDArray[np.float32]:
    """Corners of the source picture of each chip.

    Args:
        folder: ``DATA/chips``.
        count: number of chips.

    Returns:
        float32 (count, 4, 2) in chip pixels; all zero where the picture covers the whole chip, or if ``edges.npz`` is missing.
    """
    file = folder / "edges.npz"
    if not file.exists():
        return np.zeros((count, 4, 2), np.float32)
    with np.load(file) as edges:
        return np.asarray(edges["half_pixels"].astype(np.float32) / 2)


def inside(corners: NDArray[np.float32], side: int) -> NDArray[np.bool_]:
    """Mask of the chip pixels that lie in the source picture.

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
    """Fill the pixels outside the source picture with a random choice of a flat colour, noise, or a blurred extension.

    Args:
        chip: uint8 (side, side, 3) RGB.
        corners: of the source picture, float32 (4, 2) in chip pixels; all zero: the chip is returned as it is.
        rng: random generator that chooses the fill.

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
    """Extend the picture beyond its edge by a normalised Gaussian blur; returns float32 (side, side, 3)."""
    known = covered[..., None].astype(np.float32)
    total = cv2.GaussianBlur(chip * known, (0, 0), BLUR)
    share = cv2.GaussianBlur(known, (0, 0), BLUR)[..., None]
    mean = (chip * known).sum((0, 1)) / known.sum()
    return np.asarray(np.where(share > 1e-3, total / np.maximum(share, 1e-3), mean), np.float32)
