"""Finds the part of a frame that has changed since it was last searched."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.records import Frame, Image
from stages.video.clock import at_least

CELL = 8  # pixels; the mean over a cell takes an eighth of the sensor's noise
MIN_DIFFERENCE = (
    6.0  # grey levels by which a cell's mean must differ: six sigma of a noisy camera, a face's edge moving by a pixel
)
MARGIN = 64  # pixels around what moved that are looked at too
SEEN_MARGIN = MARGIN // 2 // CELL  # cells around it that count as seen: a face further out may be cut by the region's edge
ALIGN = 32
MAX_REGION_SHARE = 0.6  # a region above this share of the frame is not worth cutting out

Region = tuple[int, int, int, int]


class MotionGate:
    """Chooses the region of each frame to search. Each cell is compared with the frame in which it was last searched, so slow
    changes add up until they are found.

    Args:
        full_every_s: interval in seconds at which the whole frame is searched. Raising it is faster and finds missed faces later.
    """

    def __init__(self, full_every_s: float) -> None:
        self._full_every_s = full_every_s
        self.reset()

    def reset(self) -> None:
        self._reference: NDArray[np.float32] | None = None
        self._full_s = -np.inf

    def region(self, frame: Frame) -> Region | None:
        """Return the region ``x1 y1 x2 y2`` in pixels, or None if nothing moved."""
        height, width = frame.image.shape[:2]
        cells = _cells(frame.image)
        whole = (0, 0, width, height)
        since = frame.pts_s - self._full_s
        if self._reference is None or self._reference.shape != cells.shape or since < 0 or at_least(since, self._full_every_s):
            return self._whole_frame(cells, frame.pts_s, whole)
        rows, columns = np.nonzero(np.abs(cells - self._reference) > MIN_DIFFERENCE)
        if len(rows) == 0:
            return None
        x1, y1 = (max(0, int(v.min()) * CELL - MARGIN) // ALIGN * ALIGN for v in (columns, rows))
        x2, y2 = (-(-(int(v.max() + 1) * CELL + MARGIN) // ALIGN) * ALIGN for v in (columns, rows))
        x2, y2 = min(x2, width), min(y2, height)
        if (x2 - x1) * (y2 - y1) > MAX_REGION_SHARE * width * height:
            return self._whole_frame(cells, frame.pts_s, whole)
        inner = tuple(slice(max(0, v.min() - SEEN_MARGIN), v.max() + 1 + SEEN_MARGIN) for v in (rows, columns))
        self._reference[inner] = cells[inner]
        return x1, y1, x2, y2

    def _whole_frame(self, cells: NDArray[np.float32], pts_s: float, whole: Region) -> Region:
        self._reference, self._full_s = cells, pts_s
        return whole

    def state(self) -> Any:
        return {"seen": None if self._reference is None else self._reference.copy(), "full_s": float(self._full_s)}

    def restore(self, state: Any) -> None:
        self._reference, self._full_s = state["seen"], state["full_s"]


def _cells(image: Image) -> NDArray[np.float32]:
    """Return the mean grey level of each cell, float32 (rows, columns)."""
    size = (-(-image.shape[1] // CELL), -(-image.shape[0] // CELL))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
