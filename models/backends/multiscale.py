"""Multi-scale detection: run any detector on resized frames as well, for faces smaller or larger than it knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces import Faces, as_rgb

if TYPE_CHECKING:
    from models import Detector

SCALE_RANGE = (0.1, 4.0)


class MultiScaleDetector:
    """Runs a detector on each frame and on resized copies of it.

    Args:
        detector: the detector.
        scales: factors of the frame's size, 0.1 to 4. Above 1 finds smaller faces; 2.0 takes five times the time.

    Raises:
        ValueError: for a scale out of range.
    """

    def __init__(self, detector: Detector, scales: Sequence[float]) -> None:
        wrong = [scale for scale in scales if not SCALE_RANGE[0] <= scale <= SCALE_RANGE[1]]
        if wrong:
            raise ValueError(f"scales = {wrong[0]}: must lie between {SCALE_RANGE[0]} and {SCALE_RANGE[1]}")
        self._detector, self._scales = detector, scales

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """Find the faces of each frame, uint8 (H, W, 3) RGB or (H, W) grey, without duplicates. Raises ValueError for others."""
        images = [as_rgb(frame) for frame in frames]
        results = [[faces] for faces in self._detector.detect(images)]
        for scale in self._scales:
            for parts, faces in zip(results, self._detector.detect([_resized(image, scale) for image in images]), strict=True):
                parts.append(faces.scaled(1 / scale))
        return [Faces.merge(parts).with_nms().without_nested() for parts in results]


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if min(image.shape[:2]) * scale < 1:
        return np.zeros((1, 1, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=method).astype(np.uint8)
