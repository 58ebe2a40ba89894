"""Estimates how far a camera has panned, from the shift of the still parts of the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.records import Image

WIDTH = 160  # pixels of the thumbnail in which points are followed
MAX_POINTS, MIN_POINTS = 200, 10
STILL_PX = 0.4  # a point that moved less in the thumbnail has not moved
STILL_SHARE = 0.2  # share of such points from which on the camera stands still: people move, the rest does not
PAN_PX, PAN_SHARE = 1.0, 0.5  # the camera has panned if that share of the points moved alike, within so many pixels
MAX_UNCLEAR = 10  # frames in a row without a shift, after which the scene is taken for another

Offset = tuple[float, float]


class CameraMotion:
    """Follows points from frame to frame by sparse optical flow (Lucas-Kanade), and adds up the shift that most of them share.

    The shift of a camera that stands still is exactly 0, so its errors do not add up.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._offset, self._unclear = np.zeros(2), 0

    def __call__(self, image: Image) -> Offset | None:
        """Return how far the scene has shifted since the first frame, x and y in pixels; None if that cannot be told.

        Args:
            image: uint8 (H, W, 3) RGB.
        """
        step = max(1, image.shape[1] // (2 * WIDTH))
        size = (WIDTH, max(2, round(WIDTH * image.shape[0] / image.shape[1])))
        grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        if self._last is not None and self._last.shape == small.shape:
            shift = _shift(self._last, small)
            if shift is None:
                self._unclear += 1
                if self._unclear <= MAX_UNCLEAR:
                    return None
                shift = np.full(2, float(WIDTH))  # nothing is where it was
            self._offset = self._offset + shift * image.shape[1] / WIDTH
        self._last, self._unclear = small, 0
        return float(self._offset[0]), float(self._offset[1])

    def state(self) -> Any:
        return {"last": self._last, "offset": self._offset.tolist(), "unclear": self._unclear}

    def restore(self, state: Any) -> None:
        self._last, self._offset, self._unclear = state["last"], np.array(state["offset"], float), int(state["unclear"])


def _shift(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Shift (2,) from one thumbnail to another in its pixels, exactly 0 for a camera that stands still; None if unclear."""
    if np.array_equal(before, now):
        return np.zeros(2)
    points = cv2.goodFeaturesToTrack(before, MAX_POINTS, 0.01, 3)
    if points is None or len(points) < MIN_POINTS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, now, points, np.empty_like(points))
    flow = (moved - points).reshape(-1, 2)[found.ravel() == 1].astype(float)
    if not len(flow):
        return None
    if (np.linalg.norm(flow, axis=1) < STILL_PX).sum() >= STILL_SHARE * len(points):
        return np.zeros(2)
    shift: NDArray[np.float64] = np.median(flow, 0)
    alike = (np.linalg.norm(flow - shift, axis=1) < PAN_PX).sum()
    return shift if alike >= PAN_SHARE * len(points) else None
