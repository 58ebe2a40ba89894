"""Where a recording jumps to another picture: an edited film's cut, a camera that is turned or switched over."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.records import Image

SIZE = (32, 18)  # cells of the picture that are compared
SKIP = 4  # every so many pixels one goes into a cell
ALIKE = 0.5  # correlation of the cells; from one searched frame to the next CCTV clips keep above 0.75, cuts fall below 0.3
CHANGED = 8.0  # grey levels by which the cells differ on average: not in the dark, where all is noise
FLAT = 4.0  # spread below which a picture shows nothing: a fade through black is a cut to what comes after it


class CutDetector:
    """Compares each frame with the one before."""

    def __init__(self) -> None:
        self.last: NDArray[np.float32] | None = None
        self._shape: tuple[int, ...] | None = None

    def __call__(self, image: Image) -> bool:
        """Whether this RGB frame (H, W, 3) shows another scene than the last, or the same at another size, in other pixels."""
        before, self._shape = self._shape, image.shape
        coarse = cv2.resize(np.ascontiguousarray(image[::SKIP, ::SKIP]), SIZE, interpolation=cv2.INTER_AREA)
        cells = cv2.cvtColor(coarse, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if before not in (None, image.shape):
            self.last = cells
            return True
        if cells.std() < FLAT:
            return False
        last, self.last = self.last, cells
        if last is None or np.abs(cells - last).mean() < CHANGED:
            return False
        return bool(np.corrcoef(cells.ravel(), last.ravel())[0, 1] < ALIKE)
