"""Faces of a frame, and the non-maximum suppression that all detectors share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

NESTED_SHARE, NESTED_IOU = 0.6, 0.15  # two boxes are one face above both: share of the smaller box covered, and IoU


@dataclass(frozen=True)
class Faces:
    """Faces of one frame, best score first.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the frame.
        landmarks: float32 (N, 5, 2) in pixels: left eye, right eye, nose, left and right mouth corner, as seen in the image.
        scores: float32 (N,) in 0..1.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Faces:
        return Faces(self.boxes[rows], self.landmarks[rows], self.scores[rows])

    @staticmethod
    def empty() -> Faces:
        """Return an empty `Faces`."""
        return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))

    @staticmethod
    def merge(parts: list[Faces]) -> Faces:
        """Concatenate the faces of all parts in order, including duplicates."""
        if not parts:
            return Faces.empty()
        return Faces(
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.landmarks for p in parts]),
            np.concatenate([p.scores for p in parts]),
        )

    def scaled(self, factor: float, x: float = 0.0, y: float = 0.0) -> Faces:
        """The same faces in an image ``factor`` times as large, then moved by (x, y) pixels."""
        boxes = self.boxes * factor + np.array([x, y, x, y], np.float32)
        return Faces(boxes.astype(np.float32), (self.landmarks * factor + (x, y)).astype(np.float32), self.scores)

    def not_cut_by(self, region: tuple[int, int, int, int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Mask of the faces that the borders of a region do not cut.

        Args:
            region: x1 y1 x2 y2 in pixels of the image.
            shape: shape of the image, (H, W, ...). A border of the region that is also a border of the image cuts no face.

        Returns:
            bool (N,): True if the box lies in the region, at least one pixel from its inner borders.
        """
        x1, y1, x2, y2 = region
        low = [x1 + 1 if x1 > 0 else -np.inf, y1 + 1 if y1 > 0 else -np.inf]
        high = [x2 - 1 if x2 < shape[1] else np.inf, y2 - 1 if y2 < shape[0] else np.inf]
        return np.asarray((self.boxes[:, :2] >= low).all(1) & (self.boxes[:, 2:] < high).all(1))

    def with_nms(self, iou: float = 0.4) -> Faces:
        """Greedy non-maximum suppression, best score first. A higher ``iou`` keeps more overlapping faces."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        boxes: Any = np.hstack([self.boxes[:, :2], sides])
        scores: Any = self.scores
        return self[np.array(cv2.dnn.NMSBoxes(boxes, scores, 0.0, iou), np.intp)]

    def without_nested(self) -> Faces:
        """Drop faces that are nested with a higher-scoring face of similar size.

        NMS by IoU alone keeps both boxes of a face that was detected at two sizes. The faces must be sorted, best first.
        """
        inter = pairwise_intersection(self.boxes, self.boxes)
        areas = (self.boxes[:, 2:] - self.boxes[:, :2]).prod(1)
        same = (inter > NESTED_SHARE * np.minimum(areas[:, None], areas)) & (pairwise_iou(self.boxes, self.boxes) > NESTED_IOU)
        alive = np.ones(len(self), bool)
        for i in range(len(self)):
            if alive[i]:
                alive[i + 1 :] &= ~same[i, i + 1 :]
        return self[alive]


def pairwise_intersection(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas (N, M) that boxes (N, 4) share with boxes (M, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(2))


def pairwise_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union (N, M) of boxes (N, 4) with boxes (M, 4)."""
    inter = pairwise_intersection(a, b)
    areas_a = np.clip(a[:, 2:] - a[:, :2], 0, None).prod(1)
    areas_b = np.clip(b[:, 2:] - b[:, :2], 0, None).prod(1)
    union = areas_a[:, None] + areas_b[None] - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float32)


def as_rgb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Check a frame and return it as uint8 (H, W, 3); a grey one (H, W) is repeated. Raises ValueError for anything else."""
    array = np.asarray(frame)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"a frame must be uint8 (H, W, 3) RGB or (H, W) grey, got {array.dtype} {array.shape}")
    return np.repeat(array[..., None], 3, 2) if array.ndim == 2 else array
