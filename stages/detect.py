"""Finds the faces of each frame."""

from __future__ import annotations

from pipeline.protocol import Batch
from stages.records import DetectedFrame


class Detect:
    """``detector``: a file, else the project's own network. ``min_score``: lower finds more faces, and more that are none;
    the tracker needs the weak ones to bridge gaps, so it is set below what starts a track. ``device``: auto, cpu or cuda."""

    def __init__(self, detector: str | None = None, min_score: float = 0.3, device: str = "auto") -> None:
        self._name, self._min_score, self._device = detector, min_score, device

    def open(self) -> None:
        from models import load_detector

        self._detector = load_detector(self._name, self._device, self._min_score)

    def process(self, batch: Batch) -> Batch:
        found = self._detector.detect([frame.image for frame in batch])
        return [DetectedFrame(frame, faces) for frame, faces in zip(batch, found, strict=True)]

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._detector = None  # type: ignore[assignment]
