"""Compares the tracks of a run with the ground truth of a synthetic clip: found, missed, falsely reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces import pairwise_iou

LEAST_IOU = 0.3
LEAST_SHARE = 0.5  # of a track's detections that must lie on one walker


@dataclass
class Walk:
    """One walker: whether enrolled, widths of the face in pixels, tracks that follow it and the names they were given."""

    name: str
    enrolled: bool
    smallest_px: float
    largest_px: float
    tracks: int = 0
    reported: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        if any(name != self.name for name in self.reported):
            return "false"
        if not self.enrolled:
            return "rightly unmatched" if self.tracks else "not tracked"
        if self.reported:
            return "found"
        return "missed" if self.tracks else "missed, not tracked"


@dataclass
class Score:
    """The walkers, and tracks that follow nobody (false faces), with how many of those were matched."""

    walks: list[Walk]
    stray: int = 0
    stray_matches: int = 0

    def count(self, *outcomes: str) -> int:
        return sum(w.outcome in outcomes for w in self.walks)

    @property
    def found(self) -> int:
        return self.count("found")

    @property
    def missed(self) -> int:
        return self.count("missed", "missed, not tracked")

    @property
    def false(self) -> int:
        return self.count("false") + self.stray_matches


def score(truth: list[dict[str, Any]], tracks: list[dict[str, Any]]) -> Score:
    """``truth`` is the ``walkers`` of a ``truth.json``; ``tracks`` rows of the store's tracks table."""
    walks = []
    boxes: list[NDArray[np.float32]] = []
    for entry in truth:
        found = np.array(entry["boxes"], np.float32).reshape(-1, 5)
        widths = found[:, 3] - found[:, 1] if len(found) else np.zeros(1)
        walks.append(Walk(entry["walker"]["name"], entry["walker"]["enrolled"], float(widths.min()), float(widths.max())))
        boxes.append(found)
    result = Score(walks)
    for track in tracks:
        best = walker_of(track, boxes)
        if best is None:
            result.stray += 1
            result.stray_matches += track["outcome"] == "match"
            continue
        walk = walks[best]
        walk.tracks += 1
        if track["outcome"] == "match":
            walk.reported.append(track["name"])
    return result


def walker_of(track: dict[str, Any], boxes: list[NDArray[np.float32]]) -> int | None:
    """Which walker a track follows, given the boxes of each (M, 5) as PTS and box; None if it follows nobody."""
    path = np.frombuffer(track["path"], np.float32).reshape(-1, 5)
    shares = {
        place: _share(path, found)
        for place, found in enumerate(boxes)
        if len(found) and found[0, 0] <= path[-1, 0] and found[-1, 0] >= path[0, 0]
    }
    best = max(shares, key=lambda place: shares[place], default=None)
    return None if best is None or shares[best] < LEAST_SHARE else best


def _share(path: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Share of a path's detections that lie on a walker's face at that time."""
    if not len(truth):
        return 0.0
    nearest = np.abs(path[:, None, 0] - truth[None, :, 0]).argmin(1)
    same = np.abs(truth[nearest, 0] - path[:, 0]) < 0.05
    overlap = np.array([pairwise_iou(p[None, 1:], t[None, 1:])[0, 0] for p, t in zip(path, truth[nearest], strict=True)])
    return float((same & (overlap >= LEAST_IOU)).mean())
