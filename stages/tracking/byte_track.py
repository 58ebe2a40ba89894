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

    def update(self, detections: Any, frame: Any = None, timestamp: float = 0.0) -> Any:
        found = super().update(detections, frame, timestamp)
        for track in self.tracks:
            if track.time_since_update == 0:
                box, before = track.get_state_bbox(), getattr(track, "seen", None)
                track.speed = np.zeros(2) if before is None else _centres(box - before) / max(timestamp - track.seen_s, 1e-3)
                track.seen, track.seen_s = box, timestamp
        return found

    @property
    def seen_once(self) -> int:
        """Number of started tracks that never got a second detection."""
        return self._started - self._next_track_id - sum(track.tracker_id == -1 for track in self.tracks)

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
        self._last_timestamp, self._next_track_id, self._started = state["last_s"], state["next"], state["proposed"]
        self.tracks = []
        for held in state["tracks"]:
            track: Any = ByteTrackTracklet(np.asarray(held["seen"]))
            at = {**track.state_estimator.get_state(), "state": held["filter"], "state_covariance": held["covariance"]}
            if held["filter"].shape != (8, 1) or held["covariance"].shape != (8, 8):
                raise ValueError("a filter of another shape")
            track.state_estimator.set_state(at)
            for name in SAVED_FIELDS:
                setattr(track, name, held["numbers"][name])
            track.seen, track.seen_s, track.speed = held["seen"], held["seen_s"], held["speed"]
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


def _centres(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the centres (..., 2) of boxes (..., 4), or of differences of boxes."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _match_by_distance(tracks: list[Any], boxes: NDArray[np.float32]) -> dict[int, Any]:
    """Assign boxes (N, 4) to tracks by distance. Returns the track by row of its box."""
    before = np.array([track.seen for track in tracks])
    passed = np.array([track.time_since_update_seconds for track in tracks])
    known = np.array([track.tracker_id != -1 for track in tracks])
    (old, was), (new, now) = ((_centres(b), b[:, 2] - b[:, 0]) for b in (before, boxes))
    way = np.array([track.speed for track in tracks]) * passed[:, None]
    moves = known & (np.linalg.norm(way, axis=1) > was)
    led = old + way
    old = np.where(moves[:, None], led, old)  # where it was, somebody else may be by now
    away = np.minimum(*(np.linalg.norm(at[:, None] - new[None], axis=2) for at in (old, led)))
    away /= np.maximum(1.0, np.minimum(was[:, None], now[None]))
    growth = np.maximum(now[None] / np.maximum(1.0, was[:, None]), was[:, None] / np.maximum(1.0, now[None]))
    reach = np.where(known, MAX_DRIFT, MAX_SPEED * passed)[:, None]
    fits = (away <= np.minimum(reach, MAX_DISTANCE)) & (growth <= MAX_SIZE_RATIO)
    might = away <= np.minimum(reach, MAX_DISTANCE_UNAMBIGUOUS)
    fits |= (
        might & (growth <= MAX_SIZE_RATIO_UNAMBIGUOUS) & (might.sum(0, keepdims=True) == 1) & (might.sum(1, keepdims=True) == 1)
    )
    pairs = zip(*linear_sum_assignment(np.where(fits, away, 1e3)), strict=True)
    return {int(column): tracks[row] for row, column in pairs if fits[row, column]}
