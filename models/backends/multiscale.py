"""Any detector, on frames made larger and smaller as well: for faces below or above the sizes it knows, where time allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces import Faces, as_rgb

if TYPE_CHECKING:
    from models import Detector

SCALES = (0.1, 4.0)


class MultiScaleDetector:
    """``scales``: how many times as large each frame is searched too; 2.0 takes five times the time. Raises ValueError for scales
    that are none."""

    def __init__(self, detector: Detector, scales: Sequence[float]) -> None:
        wrong = [scale for scale in scales if not SCALES[0] <= scale <= SCALES[1]]
        if wrong:
            raise ValueError(f"scales = {wrong[0]}: must lie between {SCALES[0]} and {SCALES[1]}")
        self._detector, self._scales = detector, scales

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """Faces of each frame (uint8 (H, W, 3) RGB, or (H, W) grey), each once. Raises ValueError for anything else."""
        pictures = [as_rgb(frame) for frame in frames]
        found = [[faces] for faces in self._detector.detect(pictures)]
        for scale in self._scales:
            for parts, faces in zip(found, self._detector.detect([_resized(p, scale) for p in pictures]), strict=True):
                parts.append(faces.scaled(1 / scale))
        return [Faces.merge(parts).with_nms().without_nested() for parts in found]


def _resized(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if min(picture.shape[:2]) * scale < 1:
        return np.zeros((1, 1, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method).astype(np.uint8)
