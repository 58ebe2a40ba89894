"""Draws the tracks into the video: boxes, track numbers and names.

It runs after the search, over the recorded tracks, so that a name is shown from a person's first frame on. It draws directly into
the planes of yuv420p, which saves two colour conversions per frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.protocol import Batch
from stages.records import Frame, Image
from stages.video.clock import TICK_S
from stages.video.pixels import split_planes
from stages.video.writer import VideoWriter, letterbox
from watchlist.tracks import box_number

# Luma, Cb, Cr of each outcome: green match, blue no match, grey not assessable.
COLOURS = {"match": (150, 60, 60), "no_match": (120, 180, 90), "not_assessable": (140, 128, 128)}
BOX_HOLD_S = 0.25  # a box is drawn for this long after its last detection


class Annotate:
    """Writes ``annotated/SOURCE.mp4`` for each recording.

    Args:
        out: output folder.
        database: the database with the tracks.
        blur_bystanders: pixelate every tracked face that is not a match.
        crf: H.264 quality, 0..51; lowering it gives better, larger files.
        preset: x264 preset; slower presets give smaller files.
    """

    def __init__(
        self, out: Path, database: Path, blur_bystanders: bool = False, crf: int = 24, preset: str = "superfast"
    ) -> None:
        self._out, self._database, self._blur = out, database, blur_bystanders
        self._options = {"crf": str(crf), "preset": preset}
        self._writer: VideoWriter | None = None
        self._tracks: list[dict[str, Any]] = []

    def open(self) -> None:
        from watchlist.store import Store

        self._store = Store(self._database)

    def process(self, batch: Batch) -> Batch:
        for frame in batch:
            self._annotate(frame)
        return []

    def flush(self) -> Batch:
        if self._writer is not None:
            self._writer.finish()
            self._writer = None
        return []

    def close(self) -> None:
        self._store.close()

    def _annotate(self, frame: Frame) -> None:
        if self._writer is None:
            self._writer = VideoWriter(self._out / "annotated" / f"{frame.source}.mp4", frame.image, self._options)
            self._tracks = self._load_tracks(frame.source)
        planes, scale, shift = letterbox(frame.image, self._writer.size)
        for track in self._tracks:
            box = interpolate_box(track["path"], frame.pts_s)
            if box is not None:
                draw_track(planes, box * scale + shift, track, self._blur)
        self._writer.write(planes, frame.pts_s)

    def _load_tracks(self, source: str) -> list[dict[str, Any]]:
        tracks = self._store.tracks(source)
        for track in tracks:
            path = np.frombuffer(track["path"], np.float32).reshape(-1, 5)
            track["path"] = extend_path(path) if self._blur and track["outcome"] != "match" else path
        return tracks


def interpolate_box(path: NDArray[np.float32], pts_s: float) -> NDArray[np.float32] | None:
    """Interpolate the box of a track.

    Args:
        path: float32 (M, 5), PTS and box of each detection.
        pts_s: time of the frame in seconds.

    Returns:
        float32 (4,); None where the track has not started or has ended.
    """
    times = path[:, 0]
    slack = TICK_S + float(np.spacing(times[-1]))  # float32 rounds the times
    if pts_s < times[0] - slack or pts_s > times[-1] + BOX_HOLD_S + slack:
        return None
    return np.array([np.interp(pts_s, times, path[:, 1 + i]) for i in range(4)], np.float32)


def extend_path(path: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extend a path (M, 5) at both ends, since a face is visible before the tracker confirms it. Used to blur it in time."""
    step = float(np.median(np.diff(path[:, 0]))) if len(path) > 1 else 0.2
    first, last = path[:1].copy(), path[-1:].copy()
    first[0, 0] -= 2.5 * step
    last[0, 0] += 2.5 * step
    return np.vstack([first, path, last])


def draw_track(planes: Image, box: NDArray[np.float32], track: dict[str, Any], blur: bool) -> None:
    """Draw one track into a planar yuv420p frame (3H/2, W), in place."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma, *chroma = split_planes(planes)
    colour = COLOURS[track["outcome"]]
    x1, y1, x2, y2 = (int(v) for v in np.clip(box, 0, (width - 1, height - 1, width - 1, height - 1)).round())
    if blur and track["outcome"] != "match":
        _pixelate(luma, x1, y1, x2, y2)
        for plane in chroma:
            _pixelate(plane, x1 // 2, y1 // 2, x2 // 2, y2 // 2)
    thick = max(1, height // 360)
    cv2.rectangle(luma, (x1, y1), (x2, y2), colour[0], thick)
    for plane, value in zip(chroma, colour[1:], strict=True):
        cv2.rectangle(plane, (x1 // 2, y1 // 2), (x2 // 2, y2 // 2), value, max(1, thick // 2))
    text = box_number(track["track"])
    if track["outcome"] == "match":
        text += f" {track['name']} {track['score']:.2f}"
    size = max(0.35, height / 1400)
    (text_w, text_h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    top = y1 - text_h - 4 if y1 - text_h - 4 >= 0 else min(y2 + 2, height - text_h - 4)
    left = max(0, min(x1, width - text_w - 4))
    luma[top : top + text_h + 4, left : left + text_w + 4] = 30
    for plane, value in zip(chroma, colour[1:], strict=True):
        plane[top // 2 : (top + text_h + 4) // 2, left // 2 : (left + text_w + 4) // 2] = value
    cv2.putText(luma, text, (left + 2, top + text_h + 1), cv2.FONT_HERSHEY_SIMPLEX, size, 235, 1, cv2.LINE_AA)


def _pixelate(plane: Image, x1: int, y1: int, x2: int, y2: int) -> None:
    """Pixelate a region in place, to 4 by 5 blocks."""
    margin = (x2 - x1) // 5
    part = plane[max(0, y1 - margin) : y2 + margin, max(0, x1 - margin) : x2 + margin]
    if part.size:
        small = cv2.resize(part, (4, 5), interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(small, part.shape[::-1], interpolation=cv2.INTER_NEAREST)
