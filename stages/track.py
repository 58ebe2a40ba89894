"""Follows faces from frame to frame with ByteTrack (the `trackers` library), on the clock of the PTS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.protocol import Batch
from stages.records import TrackedFrame
from stages.tracking.lost_budget import MAX_SIZE_RATIO, LostTrackBudget
from stages.video.clock import TICK_S
from stages.video.cuts import CutDetector

SMOOTHING = 0.7  # share of the earlier speed that is kept


@dataclass
class _Last:
    """Where a track was seen last, under the number it has here; ``speed`` of its centre in pixels a second, once known."""

    number: int
    pts_s: float
    centre: NDArray[np.float32]
    width: float
    speed: NDArray[np.float32] | None = None


class Track:
    """``lost_s``: how long a face may be away before its track ends, or two searches if they are further apart; higher bridges
    longer occlusions and confuses people who pass each other more often. ``start_score``: what a detection needs to start a
    track. ``min_iou``: overlap that makes two boxes the same face; small faces that move fast need a low one. ``most_drift``:
    face widths by which one that was away may miss the place its motion led to; beyond it, or at another size, it begins a track
    of its own, since two people in one track hide each other. Where the picture cuts to another one, or changes its size,
    every face begins anew."""

    def __init__(self, lost_s: float = 1.5, start_score: float = 0.6, min_iou: float = 0.05, most_drift: float = 0.75) -> None:
        self._lost_s, self._start_score, self._min_iou, self._most_drift = lost_s, start_score, min_iou, most_drift
        self._tracker: Any = None
        self._last: dict[int, _Last] = {}
        self._dimmed = self._cuts = self._seen_once = 0

    def open(self) -> None:
        self._begin()

    def process(self, batch: Batch) -> Batch:
        import supervision

        tracked = []
        for item in batch:
            faces = item.faces
            if self._cut(item.frame.image):
                self._cuts += 1
                self._seen_once += self._tracker.seen_once
                self._tracker, self._last = self._new(), {}
            detections = supervision.Detections(
                xyxy=faces.boxes.astype(np.float32),
                confidence=faces.scores.astype(np.float32),
                data={"row": np.arange(len(faces))},
            )
            self._tracker.maximum_time_without_update = self._lost_budget.limit_s(item.frame.pts_s, self._lost_s) + TICK_S
            found = self._tracker.update(detections, timestamp=item.frame.pts_s)
            numbers = np.full(len(faces), -1, np.int64)
            if len(found):
                for row, tracker_id in zip(found.data["row"].astype(int), found.tracker_id, strict=True):
                    numbers[row] = self._number(int(tracker_id), faces.boxes[row], item.frame.pts_s)
            followed = {track.tracker_id for track in self._tracker.tracks}
            self._last = {number: last for number, last in self._last.items() if number in followed}
            self._before = item.frame.pts_s
            self._dimmed += int((numbers < 0).sum())
            tracked.append(TrackedFrame(item.frame, faces, numbers))
        return tracked

    def flush(self) -> Batch:
        self._seen_once += self._tracker.seen_once
        self._begin()
        return []

    def close(self) -> None:
        self._tracker = None

    def state(self) -> Any:
        return {
            "tracker": self._tracker.state(),
            "last": [[tracker_id, vars(last)] for tracker_id, last in self._last.items()],
            "numbers": self._numbers,
            "before": float(self._before),
            "cut": self._cut.last,
            "pace": self._lost_budget.state(),
        }

    def restore(self, state: Any) -> None:
        self._begin()
        self._tracker.restore(state["tracker"])
        self._last = {int(tracker_id): _Last(**last) for tracker_id, last in state["last"]}
        self._numbers, self._before, self._cut.last = state["numbers"], state["before"], state["cut"]
        self._lost_budget.restore(state["pace"])

    def counters(self) -> dict[str, int]:
        told = {"detections without a track": self._dimmed, "sure faces seen once only": self._seen_once}
        return told | ({"cuts": self._cuts} if self._cuts else {})

    def _number(self, tracker_id: int, box: NDArray[np.float32], now: float) -> int:
        """The tracker's number, or -1 while it has none, as one of our own: another one if the face cannot be the same."""
        if tracker_id < 0:
            return -1
        last = self._last.get(tracker_id)
        centre, width = (box[:2] + box[2:]) / 2, float(box[2] - box[0])
        if last is None or (last.pts_s < self._before and self._another(last, centre, width, now)):
            last = self._last[tracker_id] = _Last(self._numbers, now, centre, width)
            self._numbers += 1
            return last.number
        passed = max(now - last.pts_s, 1e-3)
        speed = (centre - last.centre) / passed
        last.speed = speed if last.speed is None else SMOOTHING * last.speed + (1 - SMOOTHING) * speed
        last.pts_s, last.centre, last.width = now, centre, width
        return last.number

    def _another(self, last: _Last, centre: NDArray[np.float32], width: float, now: float) -> bool:
        """Whether a face that was away has come back as somebody else."""
        if not 1 / MAX_SIZE_RATIO < width / max(last.width, 1.0) < MAX_SIZE_RATIO:
            return True
        if last.speed is None:
            return False
        expected = last.centre + last.speed * (now - last.pts_s)
        return float(np.linalg.norm(centre - expected)) > self._most_drift * max(min(width, last.width), 1.0)

    def _begin(self) -> None:
        self._tracker, self._last, self._before, self._cut = self._new(), {}, -np.inf, CutDetector()
        self._lost_budget = LostTrackBudget()
        self._numbers = 0  # they are part of the tracks' names, which must not depend on what else was read before

    def _new(self) -> Any:
        from stages.tracking.byte_track import FaceTracker

        return FaceTracker(
            lost_track_buffer=max(1, round(self._lost_s * 30)),  # the library counts in frames of 30 a second
            frame_rate=30.0,
            track_activation_threshold=self._start_score,
            high_conf_det_threshold=self._start_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self._min_iou,
        )
