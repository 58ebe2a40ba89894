"""Detects the faces of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.faces import Faces
from pipeline.protocol import Batch
from stages.records import DetectedFrame, Frame
from stages.video.motion import MotionGate


class Detect:
    """Runs the face detector, on whole frames or only where something moved.

    Args:
        detector: a weight file of a supported detector; ``fast`` for the project's network of half the cost, which misses a few
            more small faces; None for the project's default network.
        min_score: lowest score of a detection, 0..1. Lowering it finds more faces and more false ones. It is below the score that
            starts a track, since the tracker bridges gaps with weak detections.
        device: ``auto``, ``cpu`` or ``cuda``.
        scales: further scales at which each frame is searched. ``[2]`` finds more of the smallest faces in clean video and fewer
            in noisy video, at five times the cost.
        full_every_s: search only the part that moved, and the whole frame at this interval in seconds. Elsewhere the previous
            detections stay. Raising it is faster and finds still faces later. None searches every frame as a whole.
    """

    def __init__(
        self,
        detector: str | None = None,
        min_score: float = 0.2,
        device: str = "auto",
        scales: Sequence[float] = (),
        full_every_s: float | None = None,
    ) -> None:
        self._name, self._min_score, self._device, self._scales = detector, min_score, device, tuple(scales)
        self._gate = None if full_every_s is None else MotionGate(full_every_s)
        self._last, self._source = Faces.empty(), ""
        self._still_frames = self._partial_frames = 0

    def open(self) -> None:
        from models import load_detector

        self._detector = load_detector(self._name, self._device, self._min_score, self._scales)

    def process(self, batch: Batch) -> Batch:
        if self._gate is None:
            detections = self._detector.detect([frame.image for frame in batch])
        else:
            detections = [self._detect_moving_part(frame) for frame in batch]
        return [DetectedFrame(frame, faces) for frame, faces in zip(batch, detections, strict=True)]

    def flush(self) -> Batch:
        self._last = Faces.empty()
        if self._gate:
            self._gate.reset()
        return []

    def close(self) -> None:
        self._detector = None  # type: ignore[assignment]

    def state(self) -> Any:
        return {
            "boxes": self._last.boxes,
            "landmarks": self._last.landmarks,
            "scores": self._last.scores,
            "source": self._source,
            "gate": self._gate.state() if self._gate else None,
        }

    def restore(self, state: Any) -> None:
        self._last = Faces(state["boxes"], state["landmarks"], state["scores"])
        self._source, gate = state["source"], state["gate"]
        if self._gate:
            if gate is None:
                self._gate.reset()
            else:
                self._gate.restore(gate)

    def counters(self) -> dict[str, int]:
        if not self._gate:
            return {}
        return {"frames in which nothing moved": self._still_frames, "frames searched in part": self._partial_frames}

    def _detect_moving_part(self, frame: Frame) -> Faces:
        assert self._gate is not None
        if frame.source != self._source:
            self.flush()
            self._source = frame.source
        region = self._gate.region(frame)
        if region is None:
            self._still_frames += 1
            return self._last
        x1, y1, x2, y2 = region
        (faces,) = self._detector.detect([np.ascontiguousarray(frame.image[y1:y2, x1:x2])])
        if (y2 - y1, x2 - x1) != frame.image.shape[:2]:
            self._partial_frames += 1
            faces = faces.scaled(1.0, x1, y1)
            kept, fresh = (~self._last.not_cut_by(region, frame.image.shape), faces.not_cut_by(region, frame.image.shape))
            faces = Faces.merge([self._last[kept], faces[fresh]]).with_nms()
        self._last = faces
        return faces
