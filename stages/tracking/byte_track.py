"""ByteTrack (the `trackers` library) for faces that move further than their own width between two searched frames.

ByteTrack: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from trackers import ByteTrackTracker
from trackers.core.bytetrack.tracklet import ByteTrackTracklet

from stages.tracking.lost_budget import MAX_SIZE_RATIO

Vectors = NDArray[np.floating[Any]]

# Distances are in face widths.
MAX_SPEED = 15.0  # per second: 2.4 m/s
MAX_DISTANCE = 3.0
MAX_DISTANCE_UNAMBIGUOUS, MAX_SIZE_RATIO_UNAMBIGUOUS = 10.0, 1.25  # if only one track and one detection are near each other
MAX_DRIFT = 0.75  # of a track with known motion, from its last or its predicted position

# Attributes of the library's tracks that a checkpoint holds
SAVED_FIELDS = ("age", "tracker_id", "time_since_update", "time_since_update_seconds", "number_of_successful_consecutive_updates")


class FaceTracker(ByteTrackTracker):
    """ByteTrack with a second association by distance, for tracks and detections that IoU leaves unmatched.

    Somebody who crosses the frame moves one and a half face widths in the 0.2 s between two searched frames. The boxes of the
    first two detections do not overlap, so IoU alone would never start a track. After a gap IoU fails too: the motion that the
    filter infers from the jitter of a small box soon predicts a wrong position for somebody who stands still.
    """

    _started = 0

    tracks: list[Any]  # tracklets of the library, with `seen` (last box), `seen_s` (its time) and `speed` (pixels per second)

    def update(self, detections: Any, frame: Any = None, timestamp: float | None = None) -> Any:
        """Assign detections to tracks.

        Args:
            detections: ``supervision.Detections`` of one frame.
            frame: not used.
            timestamp: PTS seconds of the frame.

        Returns:
            The detections with ``tracker_id``; -1 for a detection without a track.
        """
        tracked, now = super().update(detections, frame, timestamp), timestamp or 0.0
        for track in self.tracks:
            if track.time_since_update == 0:
                box, before = track.get_state_bbox(), getattr(track, "seen", None)
                track.speed = np.zeros(2) if before is None else _centres(box - before) / max(now - track.seen_s, 1e-3)
                track.seen, track.seen_s = box, now
        return tracked

    @property
    def seen_once(self) -> int:
        """Number of started tracks that never got a second detection."""
        unconfirmed = sum(track.tracker_id == -1 for track in self.tracks)
        return int(self._started - self._next_track_id - unconfirmed)

    def state(self) -> Any:
        """Return the tracks as plain data. Of the library's filters only the state and the covariance differ between tracks."""
        return {
            "last_s": self._last_timestamp,
            "next": self._next_track_id,
            "proposed": self._started,
            "tracks": [
                {
                    "filter": track.state_estimator.kf.state,
                    "covariance": track.state_estimator.kf.state_covariance,
                    "numbers": {name: getattr(track, name) for name in SAVED_FIELDS},
                    "seen": track.seen,
                    "seen_s": track.seen_s,
                    "speed": track.speed,
                }
                for track in self.tracks
            ],
        }

    def restore(self, state: Any) -> None:
        """Continue with the tracks of a checkpoint, as `state` returns them. Raises ValueError if they do not fit."""
        self._last_timestamp, self._next_track_id, self._started = state["last_s"], state["next"], state["proposed"]
        self.tracks = []
        for saved in state["tracks"]:
            track: Any = ByteTrackTracklet(np.asarray(saved["seen"]))
            estimate = {**track.state_estimator.get_state(), "state": saved["filter"], "state_covariance": saved["covariance"]}
            if saved["filter"].shape != (8, 1) or saved["covariance"].shape != (8, 8):
                raise ValueError("a filter of another shape")
            track.state_estimator.set_state(estimate)
            for name in SAVED_FIELDS:
                setattr(track, name, saved["numbers"][name])
            track.seen, track.seen_s, track.speed = saved["seen"], saved["seen_s"], saved["speed"]
            self.tracks.append(track)

    def _spawn_new_tracks(
        self,
        detection_boxes: NDArray[np.float32],
        confidences: NDArray[np.float32],
        unmatched_high_local: list[int],
        high_indices: NDArray[np.intp],
        out_det_indices: list[int],
        out_tracker_ids: list[int],
    ) -> None:
        waiting = [track for track in self.tracks if track.time_since_update > 0]
        rows = [int(high_indices[local]) for local in unmatched_high_local]
        linked = _match_by_distance(waiting, detection_boxes[rows]) if waiting and rows else {}
        for place, track in linked.items():
            track.update(detection_boxes[rows[place]])
            if track.tracker_id == -1:
                track.tracker_id = self._allocate_tracker_id()
            out_det_indices.append(rows[place])
            out_tracker_ids.append(track.tracker_id)
        rest = [local for place, local in enumerate(unmatched_high_local) if place not in linked]
        known = len(self.tracks)
        super()._spawn_new_tracks(detection_boxes, confidences, rest, high_indices, out_det_indices, out_tracker_ids)
        self._started += len(self.tracks) - known


def _centres(boxes: Vectors) -> Vectors:
    """Return the centres (..., 2) of boxes (..., 4), or of differences of boxes."""
    centres: Vectors = (boxes[..., :2] + boxes[..., 2:]) / 2
    return centres


def _match_by_distance(tracks: list[Any], boxes: NDArray[np.float32]) -> dict[int, Any]:
    """Assign boxes (N, 4) to tracks by distance. Returns the track by row of its box."""
    last_boxes: Vectors = np.array([track.seen for track in tracks])
    gap_s = np.array([track.time_since_update_seconds for track in tracks])
    confirmed = np.array([track.tracker_id != -1 for track in tracks])
    last, last_width = _centres(last_boxes), last_boxes[:, 2] - last_boxes[:, 0]
    new, new_width = _centres(boxes), boxes[:, 2] - boxes[:, 0]
    motion = np.array([track.speed for track in tracks]) * gap_s[:, None]
    predicted = last + motion
    moved_away = confirmed & (np.linalg.norm(motion, axis=1) > last_width)
    last = np.where(moved_away[:, None], predicted, last)  # somebody else may be at its last position by now
    distance = np.minimum(*(np.linalg.norm(at[:, None] - new[None], axis=2) for at in (last, predicted)))
    distance /= np.maximum(1.0, np.minimum(last_width[:, None], new_width[None]))
    old, wide = last_width[:, None], new_width[None]
    growth = np.maximum(wide / np.maximum(1.0, old), old / np.maximum(1.0, wide))
    limit = np.where(confirmed, MAX_DRIFT, MAX_SPEED * gap_s)[:, None]
    fits = (distance <= np.minimum(limit, MAX_DISTANCE)) & (growth <= MAX_SIZE_RATIO)
    near = distance <= np.minimum(limit, MAX_DISTANCE_UNAMBIGUOUS)
    unambiguous = (near.sum(0, keepdims=True) == 1) & (near.sum(1, keepdims=True) == 1)
    fits |= near & (growth <= MAX_SIZE_RATIO_UNAMBIGUOUS) & unambiguous
    pairs = zip(*linear_sum_assignment(np.where(fits, distance, 1e3)), strict=True)
    return {int(column): tracks[row] for row, column in pairs if fits[row, column]}
