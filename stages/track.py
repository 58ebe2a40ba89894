"""Tracks faces with ByteTrack (the `trackers` library), in PTS time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces import Faces
from pipeline.protocol import Batch
from stages.records import TrackedFrame
from stages.tracking.lost_budget import MAX_SIZE_RATIO, LostTrackBudget
from stages.video.clock import TICK_S
from stages.video.cuts import CutDetector

SMOOTHING = 0.7  # weight of the previous speed in the moving average


@dataclass
class _LastSeen:
    """Last detection of a track.

    Attributes:
        number: the track number.
        pts_s: time of the detection in seconds.
        centre: (2,), centre of the box in pixels.
        width: width of the box in pixels.
        speed: (2,), in pixels per second; None while unknown.
    """

    number: int
    pts_s: float
    centre: NDArray[np.floating[Any]]
    width: float
    speed: NDArray[np.floating[Any]] | None = None


class Track:
    """Gives each detection the number of its track. All tracks end at a cut, and where the frame size changes.

    Args:
        lost_s: lost-track budget: seconds without a detection after which a track ends, at least two intervals between searched
            frames. Raising it bridges longer occlusions and swaps people who pass each other more often.
        start_score: detection score that starts a track, 0..1. Raising it gives fewer false tracks and misses faint faces.
        min_iou: overlap at which two boxes are the same face, 0..1. Small, fast faces need a low value.
        most_drift: largest distance, in face widths, between a face that returns and the position its motion predicts. Beyond
            it, or at a very different size, the face starts a new track: two people in one track would hide each other.
    """

    def __init__(self, lost_s: float = 1.5, start_score: float = 0.6, min_iou: float = 0.05, most_drift: float = 0.75) -> None:
        self._lost_s, self._start_score, self._min_iou, self._most_drift = lost_s, start_score, min_iou, most_drift
        self._tracker: Any = None  # until a face starts a track: the library takes a second to import
        self._last_seen: dict[int, _LastSeen] = {}
        self._cut, self._lost_budget = CutDetector(), LostTrackBudget()
        self._previous_s = -np.inf  # PTS of the previous frame
        self._numbers = 0  # tracks of this source so far
        self._without_track = self._cuts = self._seen_once = 0

    def open(self) -> None:
        self._reset()

    def process(self, batch: Batch) -> Batch:
        tracked = []
        for item in batch:
            if self._cut(item.frame.image):
                self._cuts += 1
                self._end_tracks()
            numbers = self._numbers_of(item.faces, item.frame.pts_s, item.frame.after_skip)
            self._previous_s = item.frame.pts_s
            self._without_track += int((numbers < 0).sum())
            tracked.append(TrackedFrame(item.frame, item.faces, numbers))
        return tracked

    def _numbers_of(self, faces: Faces, now: float, after_skip: bool = False) -> NDArray[np.int64]:
        """Return the track number of each face of a frame; -1 for a face without a track."""
        numbers = np.full(len(faces), -1, np.int64)
        limit_s = self._lost_budget.limit_s(now, self._lost_s, after_skip) + TICK_S
        if self._tracker is None:
            if not (faces.scores >= self._start_score).any():  # no track goes on and none starts
                return numbers
            self._tracker = self._new_tracker()
        import supervision

        detections = supervision.Detections(
            xyxy=faces.boxes.astype(np.float32),
            confidence=faces.scores.astype(np.float32),
            data={"row": np.arange(len(faces))},
        )
        self._tracker.maximum_time_without_update = limit_s
        detections = self._tracker.update(detections, timestamp=now)
        if len(detections):
            for row, tracker_id in zip(detections.data["row"].astype(int), detections.tracker_id, strict=True):
                numbers[row] = self._number(int(tracker_id), faces.boxes[row], now)
        followed = {track.tracker_id for track in self._tracker.tracks}
        self._last_seen = {number: last for number, last in self._last_seen.items() if number in followed}
        return numbers

    def flush(self) -> Batch:
        self._end_tracks()
        self._reset()
        return []

    def close(self) -> None:
        self._tracker = None

    def state(self) -> Any:
        return {
            "tracker": None if self._tracker is None else self._tracker.state(),
            "last": [[tracker_id, vars(last)] for tracker_id, last in self._last_seen.items()],
            "numbers": self._numbers,
            "before": float(self._previous_s),
            "cut": self._cut.last,
            "pace": self._lost_budget.state(),
        }

    def restore(self, state: Any) -> None:
        self._reset()
        if state["tracker"] is not None:
            self._tracker = self._new_tracker()
            self._tracker.restore(state["tracker"])
        self._last_seen = {int(tracker_id): _LastSeen(**last) for tracker_id, last in state["last"]}
        self._numbers, self._previous_s, self._cut.last = state["numbers"], state["before"], state["cut"]
        self._lost_budget.restore(state["pace"])

    def counters(self) -> dict[str, int]:
        counts = {"detections without a track": self._without_track, "sure faces seen once only": self._seen_once}
        return counts | ({"cuts": self._cuts} if self._cuts else {})

    def _number(self, tracker_id: int, box: NDArray[np.float32], now: float) -> int:
        """Map a tracker id to a track number, a new one if the face cannot be the same; -1 for a detection without a track."""
        if tracker_id < 0:
            return -1
        last = self._last_seen.get(tracker_id)
        centre, width = (box[:2] + box[2:]) / 2, float(box[2] - box[0])
        if last is None or (last.pts_s < self._previous_s and self._is_other_face(last, centre, width, now)):
            last = self._last_seen[tracker_id] = _LastSeen(self._numbers, now, centre, width)
            self._numbers += 1
            return last.number
        passed = max(now - last.pts_s, 1e-3)
        speed = (centre - last.centre) / passed
        last.speed = speed if last.speed is None else SMOOTHING * last.speed + (1 - SMOOTHING) * speed
        last.pts_s, last.centre, last.width = now, centre, width
        return last.number

    def _is_other_face(self, last: _LastSeen, centre: NDArray[np.floating[Any]], width: float, now: float) -> bool:
        """Return whether a face that returns after a gap is somebody else, by its size and position."""
        if not 1 / MAX_SIZE_RATIO < width / max(last.width, 1.0) < MAX_SIZE_RATIO:
            return True
        if last.speed is None:
            return False
        expected = last.centre + last.speed * (now - last.pts_s)
        return float(np.linalg.norm(centre - expected)) > self._most_drift * max(min(width, last.width), 1.0)

    def _end_tracks(self) -> None:
        self._seen_once += 0 if self._tracker is None else self._tracker.seen_once
        self._tracker, self._last_seen = None, {}

    def _reset(self) -> None:
        self._tracker, self._last_seen, self._previous_s = None, {}, -np.inf
        self._cut, self._lost_budget = CutDetector(), LostTrackBudget()
        self._numbers = 0  # part of the track names, which must not depend on sources read before

    def _new_tracker(self) -> Any:
        from stages.tracking.byte_track import FaceTracker

        return FaceTracker(
            lost_track_buffer=max(1, round(self._lost_s * 30)),  # the library takes frames at 30 per second
            frame_rate=30.0,
            track_activation_threshold=self._start_score,
            high_conf_det_threshold=self._start_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self._min_iou,
        )
