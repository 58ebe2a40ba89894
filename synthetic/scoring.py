"""Score the tracks of a run against the ground truth of a synthetic clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces import pairwise_iou

MIN_IOU = 0.3  # smallest IoU of a detection and the walker's face
MIN_SHARE = 0.5  # smallest share of a track's detections that overlap one walker


@dataclass
class WalkerResult:
    """Result of a run for one walker.

    Attributes:
        name: name of the walker.
        enrolled: whether the walker is on the watchlist.
        smallest_px: smallest face width, in pixels.
        largest_px: largest face width, in pixels.
        tracks: number of tracks that follow the walker.
        reported: names that those tracks were matched to.
    """

    name: str
    enrolled: bool
    smallest_px: float
    largest_px: float
    tracks: int = 0
    reported: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """``found``, ``missed``, ``missed, not tracked``, ``rightly unmatched``, ``not tracked`` or ``false`` (a wrong name)."""
        if any(name != self.name for name in self.reported):
            return "false"
        if not self.enrolled:
            return "rightly unmatched" if self.tracks else "not tracked"
        if self.reported:
            return "found"
        return "missed" if self.tracks else "missed, not tracked"


@dataclass
class Score:
    """Result of a run.

    Attributes:
        walkers: one entry per walker.
        false_tracks: tracks that follow no walker.
        false_track_matches: number of those that were matched.
    """

    walkers: list[WalkerResult]
    false_tracks: int = 0
    false_track_matches: int = 0

    def count(self, *outcomes: str) -> int:
        """Number of walkers with one of these outcomes."""
        return sum(w.outcome in outcomes for w in self.walkers)

    @property
    def found(self) -> int:
        return self.count("found")

    @property
    def missed(self) -> int:
        return self.count("missed", "missed, not tracked")

    @property
    def false(self) -> int:
        return self.count("false") + self.false_track_matches


def score(truth: list[dict[str, Any]], tracks: list[dict[str, Any]]) -> Score:
    """Score a run.

    Args:
        truth: ``walkers`` of the clip's ``truth.json``.
        tracks: rows of the store's table ``tracks``.
    """
    walkers = []
    boxes: list[NDArray[np.float32]] = []
    for entry in truth:
        faces = np.array(entry["boxes"], np.float32).reshape(-1, 5)
        widths = faces[:, 3] - faces[:, 1] if len(faces) else np.zeros(1)
        walker = entry["walker"]
        walkers.append(WalkerResult(walker["name"], walker["enrolled"], float(widths.min()), float(widths.max())))
        boxes.append(faces)
    result = Score(walkers)
    for track in tracks:
        best = followed_walker(track, boxes)
        if best is None:
            result.false_tracks += 1
            result.false_track_matches += track["outcome"] == "match"
            continue
        walkers[best].tracks += 1
        if track["outcome"] == "match":
            walkers[best].reported.append(track["name"])
    return result


def followed_walker(track: dict[str, Any], boxes: list[NDArray[np.float32]]) -> int | None:
    """Index of the walker that a track follows, or None.

    Args:
        track: a row of the store's table ``tracks``.
        boxes: for each walker float32 (M, 5), PTS seconds and box.
    """
    path = np.frombuffer(track["path"], np.float32).reshape(-1, 5)
    shares = {
        place: _share(path, faces)
        for place, faces in enumerate(boxes)
        if len(faces) and faces[0, 0] <= path[-1, 0] and faces[-1, 0] >= path[0, 0]
    }
    best = max(shares, key=lambda place: shares[place], default=None)
    return None if best is None or shares[best] < MIN_SHARE else best


def _share(path: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Share 0..1 of a path's detections (N, 5) that overlap the walker's face (M, 5) at the same time."""
    if not len(truth):
        return 0.0
    nearest = np.abs(path[:, None, 0] - truth[None, :, 0]).argmin(1)
    same = np.abs(truth[nearest, 0] - path[:, 0]) < 0.05
    overlap = np.array([pairwise_iou(p[None, 1:], t[None, 1:])[0, 0] for p, t in zip(path, truth[nearest], strict=True)])
    return float((same & (overlap >= MIN_IOU)).mean())
