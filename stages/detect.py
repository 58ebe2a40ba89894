"""Finds the faces of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.faces import Faces
from pipeline.protocol import Batch
from stages.records import DetectedFrame, Frame
from stages.video.motion import MotionGate


class Detect:
    """``detector``: a file, or `fast` for the project's network of half the work, which misses a few more small faces, else its
    own. ``min_score``: lower finds more faces, and more that are none; the tracker needs the weak ones to bridge gaps, so it is
    set below what starts a track. ``device``: auto, cpu or cuda. ``scales``: sizes, as shares of the frame's own, at which each
    frame is searched as well: 2 finds more of the smallest faces where the picture is clean, fewer where it is noisy, in five
    times the time. ``full_every_s``: with it only what moved is searched, and the whole frame so often; elsewhere the faces
    found last stay."""

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
        self._still = self._part = 0

    def open(self) -> None:
        from models import load_detector

        self._detector = load_detector(self._name, self._device, self._min_score, self._scales)

    def process(self, batch: Batch) -> Batch:
        if self._gate is None:
            found = self._detector.detect([frame.image for frame in batch])
        else:
            found = [self._where_it_moved(frame) for frame in batch]
        return [DetectedFrame(frame, faces) for frame, faces in zip(batch, found, strict=True)]

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
        return {"frames in which nothing moved": self._still, "frames searched in part": self._part} if self._gate else {}

    def _where_it_moved(self, frame: Frame) -> Faces:
        assert self._gate is not None
        if frame.source != self._source:
            self.flush()
            self._source = frame.source
        region = self._gate.region(frame)
        if region is None:
            self._still += 1
            return self._last
        x1, y1, x2, y2 = region
        (found,) = self._detector.detect([np.ascontiguousarray(frame.image[y1:y2, x1:x2])])
        if (y2 - y1, x2 - x1) != frame.image.shape[:2]:
            self._part += 1
            found = found.scaled(1.0, x1, y1)
            kept, fresh = (~self._last.not_cut_by(region, frame.image.shape), found.not_cut_by(region, frame.image.shape))
            found = Faces.merge([self._last[kept], found[fresh]]).with_nms()
        self._last = found
        return found
