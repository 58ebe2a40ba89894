"""Detects cuts: in edited films, or where a camera is moved or switched."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.records import Image

GRID = (32, 18)  # cells of the picture that are compared
SUBSAMPLE = 4  # every so many pixels one goes into a cell
MIN_CORRELATION = (
    0.5  # correlation of the cells; from one searched frame to the next CCTV clips keep above 0.75, cuts fall below 0.3
)
MIN_DIFFERENCE = 8.0  # grey levels by which the cells differ on average: not in the dark, where all is noise
MIN_CONTRAST = 4.0  # spread below which a picture shows nothing: a fade through black is a cut to what comes after it


class CutDetector:
    """Compares each frame with the previous one, as a coarse grid of grey levels."""

    def __init__(self) -> None:
        self.last: NDArray[np.float32] | None = None
        self._shape: tuple[int, ...] | None = None

    def __call__(self, image: Image) -> bool:
        """Return whether a frame shows another scene than the previous one, or has another size.

        Args:
            image: uint8 (H, W, 3) RGB.
        """
        before, self._shape = self._shape, image.shape
        coarse = cv2.resize(np.ascontiguousarray(image[::SUBSAMPLE, ::SUBSAMPLE]), GRID, interpolation=cv2.INTER_AREA)
        cells = cv2.cvtColor(coarse, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if before not in (None, image.shape):
            self.last = cells
            return True
        if cells.std() < MIN_CONTRAST:
            return False
        last, self.last = self.last, cells
        if last is None or np.abs(cells - last).mean() < MIN_DIFFERENCE:
            return False
        return bool(np.corrcoef(cells.ravel(), last.ravel())[0, 1] < MIN_CORRELATION)
