"""Sixty-eight landmarks for the project's own faces, which are aligned and frontal: one set fits them all well enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.chip import TEMPLATE


def landmarks68() -> NDArray[np.float32]:
    """iBUG points (68, 2) in pixels of a 128 chip, around the five of the template."""
    left_eye, right_eye, nose, left_mouth, right_mouth = TEMPLATE
    middle = (left_eye + right_eye) / 2

    def ring(centre: NDArray[np.float32], width: float, height: float, count: int, start: float = np.pi) -> NDArray[np.float64]:
        angles = start + np.arange(count) * 2 * np.pi / count
        return centre + np.stack([np.cos(angles) * width, np.sin(angles) * height], 1)

    angles = np.linspace(np.pi, 0, 17)
    jaw = middle + np.stack([np.cos(angles) * 38, np.sin(angles) * 58], 1)
    brows = [eye + np.stack([np.linspace(-9, 9, 5), np.full(5, -10.0)], 1) for eye in (left_eye, right_eye)]
    bridge = np.linspace(middle, nose, 4)
    nostrils = nose + np.stack([np.linspace(-6, 6, 5), np.full(5, 5.0)], 1)
    mouth = (left_mouth + right_mouth) / 2
    half = float(right_mouth[0] - left_mouth[0]) / 2
    parts = [jaw, *brows, bridge, nostrils, ring(left_eye, 6, 3, 6), ring(right_eye, 6, 3, 6)]
    parts += [ring(mouth, half, 7, 12), ring(mouth, half - 3, 3, 8)]
    return np.vstack(parts).astype(np.float32)
