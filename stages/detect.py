"""Finds the faces of each frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.faces import Faces
from pipeline.protocol import Batch
from stages.motion import MotionGate, Region
from stages.records import DetectedFrame, Frame


class Detect:
    """``detector``: a file, else the project's own network. ``min_score``: lower finds more faces, and more that are none;
    the tracker needs the weak ones to bridge gaps, so it is set below what starts a track. ``device``: auto, cpu or cuda.
    ``full_every_s``: with it only what moved is searched, and the whole frame so often; elsewhere the faces found last stay."""

    def __init__(
        self, detector: str | None = None, min_score: float = 0.3, device: str = "auto", full_every_s: float | None = None
    ) -> None:
        self._name, self._min_score, self._device = detector, min_score, device
        self._gate = None if full_every_s is None else MotionGate(full_every_s)
        self._last = Faces.none()
        self._still = self._part = 0

    def open(self) -> None:
        from models import load_detector

        self._detector = load_detector(self._name, self._device, self._min_score)

    def process(self, batch: Batch) -> Batch:
        if self._gate is None:
            found = self._detector.detect([frame.image for frame in batch])
        else:
            found = [self._where_it_moved(frame, self._gate.region(frame)) for frame in batch]
        return [DetectedFrame(frame, faces) for frame, faces in zip(batch, found, strict=True)]

    def flush(self) -> Batch:
        self._last = Faces.none()
        if self._gate:
            self._gate.forget()
        return []

    def close(self) -> None:
        self._detector = None  # type: ignore[assignment]

    def state(self) -> Any:
        last = self._last.boxes, self._last.landmarks, self._last.scores
        return last, self._gate.state() if self._gate else None

    def restore(self, state: Any) -> None:
        last, gate = state
        self._last = Faces(*last)
        if self._gate:
            self._gate.restore(gate)

    def counters(self) -> dict[str, int]:
        return {"frames in which nothing moved": self._still, "frames searched in part": self._part} if self._gate else {}

    def _where_it_moved(self, frame: Frame, region: Region | None) -> Faces:
        if region is None:
            self._still += 1
            return self._last
        x1, y1, x2, y2 = region
        corner, size = np.array([x1, y1], np.float32), np.array([x2 - x1, y2 - y1], np.float32)
        (found,) = self._detector.detect([np.ascontiguousarray(frame.image[y1:y2, x1:x2])])
        if (y2 - y1, x2 - x1) != frame.image.shape[:2]:
            self._part += 1
            within = ((self._last.boxes[:, :2] >= corner) & (self._last.boxes[:, 2:] <= corner + size)).all(1)
            moved = Faces(found.boxes + np.tile(corner, 2), found.landmarks + corner, found.scores)
            found = Faces.join([self._last[~within], moved]).suppressed()
        self._last = found
        return found
