"""Selects the best shots of each track, and counts why the others are rejected."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from models.chip import alignment_error, sharpness_of, warp_chip
from pipeline.protocol import Batch
from stages.records import Image, Shot, Track, TrackedFrame
from stages.tracking.lost_budget import LostTrackBudget
from stages.tracking.stillness import SURE_POSE_ERROR, SURE_SCORE, never_moved
from stages.video.camera_motion import CameraMotion
from stages.video.clock import at_least, more_than

CROP_MARGIN = 0.6  # of the face's width, on each side of its box
MAX_POSE_ERROR = 0.22  # mean distance of the landmarks from the frontal template, in eye distances


@dataclass
class _OpenTrack:
    """A track that has not ended. Checkpoints hold these fields under these names.

    Attributes:
        news: it has shots not yet reported.
        camera: for each detection the shift of the scene in the frame (`CameraMotion`).
        frontal: it had a sure frontal look, so it is somebody.
    """

    number: int
    start_s: float
    last_s: float
    reported_s: float
    version: int = 0
    news: bool = False
    path: list[tuple[float, ...]] = field(default_factory=list)
    camera: list[tuple[float, float] | None] = field(default_factory=list)
    frontal: bool = False
    shots: list[Shot] = field(default_factory=list)
    rejected: Shot | None = None
    reasons: Counter[str] = field(default_factory=Counter)


class Select:
    """Turns tracked frames into reports of tracks with their best shots.

    Raising ``min_face_px``, ``min_sharpness`` or ``min_score`` gives cleaner templates and more tracks that are not assessable.
    Shots of damaged frames are always rejected.

    Args:
        top_k: shots per track, ranked by size, sharpness, pose and score. Raising it costs super-resolution and embedding time.
        min_face_px: smallest face width in pixels.
        min_sharpness: smallest standard deviation of the chip's Laplacian.
        min_score: smallest detection score, 0..1.
        apart_s: shortest time between two kept shots in seconds, so that they differ.
        lost_s: lost-track budget, as in `stages.track.Track`: seconds after the last detection at which a track ends.
        report_every_s: interval in seconds at which a long track with new shots is reported. Lowering it decides more often.
        longest_s: a track is cut after this many seconds (a poster, a guard) and continues as a new one.
        early_shots: number of shots that triggers the first report. Lowering it decides sooner, on less; None waits for
            ``report_every_s``.
        static_s: a track that lasted so many seconds, without a sure frontal look, and never moved in the scene, is static: a
            picture, a statue, a lamp. It is not assessable unless it matches. Raising it tells fewer tracks apart; None: none.
        dated_tracks: start the track names with the time at which this stage was opened, so that a restart reuses no name.

    Raises:
        ValueError: ``top_k`` is below 1.
    """

    def __init__(
        self,
        top_k: int = 5,
        min_face_px: float = 10.0,
        min_sharpness: float = 3.0,
        min_score: float = 0.4,
        apart_s: float = 0.2,
        lost_s: float = 1.5,
        report_every_s: float = 10.0,
        longest_s: float = 600.0,
        early_shots: int | None = None,
        static_s: float | None = 3.0,
        dated_tracks: bool = False,
    ) -> None:
        if top_k < 1:
            raise ValueError(f"top_k = {top_k}: must be at least 1")
        self._top_k, self._min_face_px, self._min_sharpness, self._min_score = top_k, min_face_px, min_sharpness, min_score
        self._apart_s, self._lost_s, self._report_every_s = apart_s, lost_s, report_every_s
        self._longest_s, self._early_shots, self._dated = longest_s, early_shots, dated_tracks
        self._prefix = ""
        self._static_s, self._camera = static_s, CameraMotion()
        self._lost_budget = LostTrackBudget()
        self._open: dict[int, _OpenTrack] = {}
        self._source = ""
        self._captured: float | None = None
        self._epoch: float | None = None
        self._refused: Counter[str] = Counter()

    def open(self) -> None:
        self._forget()
        if self._dated:
            now = time.time()
            self._prefix = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{now % 1 * 1000:03.0f}Z-"

    def process(self, batch: Batch) -> Batch:
        out: list[Track] = []
        for item in batch:
            self._source = item.frame.source
            self._captured = item.captured
            self._epoch = None if item.captured is None else item.captured - item.frame.pts_s
            self._observe(item)
            out.extend(self._due(item.frame.pts_s))
        return out

    def flush(self) -> Batch:
        self._captured = None  # the end of the source triggers these reports, not a frame
        out = [self._report(track, final=True) for track in self._open.values()]
        self._forget()
        return out

    def close(self) -> None:
        self._open = {}

    def state(self) -> Any:
        return {
            "source": self._source,
            "open": [_to_state(track) for track in self._open.values()],
            "pace": self._lost_budget.state(),
            "camera": self._camera.state(),
        }

    def restore(self, state: Any) -> None:
        self._source, self._lost_budget = state["source"], LostTrackBudget()
        self._open = {track.number: track for track in map(_from_state, state["open"])}
        self._lost_budget.restore(state["pace"])
        self._camera.restore(state["camera"])

    def counters(self) -> dict[str, int]:
        return {f"shots refused: {reason}": count for reason, count in sorted(self._refused.items())}

    def _forget(self) -> None:
        self._open, self._lost_budget = {}, LostTrackBudget()
        self._camera.reset()

    def _camera_offset(self, item: TrackedFrame) -> tuple[float, float] | None:
        """Shift of the scene in the frame, which matters only while there are tracks."""
        if self._static_s is None:
            return None
        if not self._open and not (item.tracks >= 0).any():
            self._camera.reset()
            return None
        return self._camera(item.frame.image)

    def _observe(self, item: TrackedFrame) -> None:
        offset = self._camera_offset(item)
        for row in np.flatnonzero(item.tracks >= 0):
            number, now = int(item.tracks[row]), item.frame.pts_s
            track = self._open.setdefault(number, _OpenTrack(number, now, now, now))
            track.last_s = now
            box = item.faces.boxes[row]
            track.path.append((now, *(float(v) for v in box)))
            track.camera.append(offset)
            shot, refusal, frontal = self._evaluate(item, int(row))
            if item.frame.damaged:
                refusal = "corrupt_frame"
            if refusal:
                track.reasons[refusal] += 1
                self._refused[refusal] += 1
                if track.rejected is None or shot.quality > track.rejected.quality:
                    track.rejected = _with_crop(shot, item.frame.image)
            else:
                track.frontal |= frontal
                self._add_shot(track, shot, item.frame.image)

    def _evaluate(self, item: TrackedFrame, row: int) -> tuple[Shot, str, bool]:
        """Return a shot with its quality, the name of the first reason to reject it ("" for none), and whether it is a sure
        frontal look."""
        image, pts_s = item.frame.image, item.frame.pts_s
        box, landmarks, score = item.faces.boxes[row], item.faces.landmarks[row], float(item.faces.scores[row])
        height, width = image.shape[:2]
        face_px = float(box[2] - box[0])
        outside = (landmarks < -0.5).any() or (landmarks[:, 0] > width).any() or (landmarks[:, 1] > height).any()
        try:
            chip = warp_chip(image, landmarks)
            fit = alignment_error(landmarks)
        except ValueError:
            chip, fit = np.zeros((16, 16, 3), np.uint8), 9.0
        sharpness = sharpness_of(chip)
        size_term = min(1.0, face_px / 64) ** 0.7
        quality = size_term * min(1.0, sharpness / 20) ** 0.3 * max(0.0, 1 - fit / MAX_POSE_ERROR) ** 0.5 * score
        shot = Shot(pts_s, box.astype(np.float32), score, face_px, sharpness, float(quality), chip, b"")
        checks = {
            "too_small": face_px < self._min_face_px,
            "low_score": score < self._min_score,
            "cut_by_frame": bool(outside),
            "extreme_pose": fit > MAX_POSE_ERROR,
            "blurred": sharpness < self._min_sharpness,
        }
        frontal = score >= SURE_SCORE and fit <= SURE_POSE_ERROR
        return shot, next((name for name, failed in checks.items() if failed), ""), frontal

    def _add_shot(self, track: _OpenTrack, shot: Shot, image: Image) -> None:
        near = [s for s in track.shots if not at_least(abs(s.pts_s - shot.pts_s), self._apart_s)]
        if any(s.quality >= shot.quality for s in near):
            return
        others = [s for s in track.shots if all(s is not n for n in near)]
        if len(others) >= self._top_k and others[-1].quality >= shot.quality:
            return
        track.news = True
        track.shots = sorted([*others, _with_crop(shot, image)], key=lambda s: -s.quality)[: self._top_k]

    def _due(self, now: float) -> list[Track]:
        """Return reports of the tracks that have ended, and of those that are due for one."""
        out, lost_s = [], self._lost_budget.limit_s(now, self._lost_s)
        for number, track in list(self._open.items()):
            if more_than(now - track.last_s, lost_s) or more_than(now - track.start_s, self._longest_s):
                out.append(self._report(track, final=True))
                del self._open[number]
            elif track.news and (at_least(now - track.reported_s, self._report_every_s) or self._is_early_report(track)):
                out.append(self._report(track, final=False))
        return out

    def _is_early_report(self, track: _OpenTrack) -> bool:
        return not track.version and self._early_shots is not None and len(track.shots) >= self._early_shots

    def _report(self, track: _OpenTrack, final: bool) -> Track:
        track.version += 1
        track.news = False
        track.reported_s = track.last_s
        name = f"{self._prefix}{track.start_s:09.2f}-{track.number:04d}"
        path = np.array(track.path, np.float32)
        shots, rejected = tuple(track.shots), None if track.shots else track.rejected
        reasons, captured = dict(track.reasons), self._captured
        return Track(
            self._source,
            name,
            track.version,
            final,
            track.start_s,
            track.last_s,
            path,
            shots,
            rejected,
            reasons,
            captured,
            self._epoch,
            self._static_s is not None and not track.frontal and never_moved(track.path, track.camera, self._static_s),
        )


def _to_state(track: _OpenTrack) -> dict[str, Any]:
    """Return a track as plain data for a checkpoint."""
    rejected = vars(track.rejected) if track.rejected else None
    return {**vars(track), "reasons": dict(track.reasons), "shots": [vars(shot) for shot in track.shots], "rejected": rejected}


def _from_state(held: dict[str, Any]) -> _OpenTrack:
    """Restore a track from the result of `_to_state`. Raises TypeError, ValueError or LookupError for other data."""
    shots = [Shot(**shot) for shot in held["shots"]]
    rejected = Shot(**held["rejected"]) if held["rejected"] else None
    path = [tuple(map(float, place)) for place in held["path"]]
    camera = [None if offset is None else (float(offset[0]), float(offset[1])) for offset in held["camera"]]
    rest = {"shots": shots, "rejected": rejected, "path": path, "camera": camera, "reasons": Counter(held["reasons"])}
    return _OpenTrack(**{**held, **rest})


def _with_crop(shot: Shot, image: Image) -> Shot:
    """Add the original pixels around the face to a shot, as PNG of at most 512 pixels a side."""
    margin = CROP_MARGIN * shot.face_px
    x1, y1, x2, y2 = (int(v) for v in (shot.box + np.array([-margin, -margin, margin, margin])).round())
    part = image[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
    if part.size == 0:
        return shot
    if max(part.shape[:2]) > 512:
        factor = 512 / max(part.shape[:2])
        part = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)
    ok, code = cv2.imencode(".png", np.ascontiguousarray(part[..., ::-1]))
    return Shot(**{**shot.__dict__, "crop": code.tobytes() if ok else b""})
