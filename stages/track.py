"""Follows faces from frame to frame with ByteTrack (the `trackers` library), on the clock of the PTS."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.protocol import Batch
from stages.records import TrackedFrame


class Track:
    """``lost_s``: how long a face may be away before its track ends; higher bridges longer occlusions and confuses
    people who pass each other more often. ``start_score``: what a detection needs to start a track. ``min_iou``:
    overlap that makes two boxes the same face; small faces that move fast need a low one."""

    def __init__(self, lost_s: float = 1.5, start_score: float = 0.5, min_iou: float = 0.05) -> None:
        self._lost_s, self._start_score, self._min_iou = lost_s, start_score, min_iou
        self._tracker: Any = None
        self._dimmed = 0

    def open(self) -> None:
        self._tracker = self._new()

    def process(self, batch: Batch) -> Batch:
        import supervision

        tracked = []
        for item in batch:
            faces = item.faces
            detections = supervision.Detections(
                xyxy=faces.boxes.astype(np.float32),
                confidence=faces.scores.astype(np.float32),
                data={"row": np.arange(len(faces))},
            )
            found = self._tracker.update(detections, timestamp=item.frame.pts_s)
            numbers = np.full(len(faces), -1, np.int64)
            if len(found):
                numbers[found.data["row"].astype(int)] = found.tracker_id
            self._dimmed += int((numbers < 0).sum())
            tracked.append(TrackedFrame(item.frame, faces, numbers))
        return tracked

    def flush(self) -> Batch:
        self._tracker = self._new()
        return []

    def close(self) -> None:
        self._tracker = None

    def state(self) -> Any:
        return self._tracker

    def restore(self, state: Any) -> None:
        self._tracker = state

    def counters(self) -> dict[str, int]:
        return {"detections without a track": self._dimmed}

    def _new(self) -> Any:
        from trackers import ByteTrackTracker

        return ByteTrackTracker(
            lost_track_buffer=max(1, round(self._lost_s * 30)),  # the library counts in frames of 30 a second
            frame_rate=30.0,
            track_activation_threshold=self._start_score,
            high_conf_det_threshold=self._start_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self._min_iou,
        )
