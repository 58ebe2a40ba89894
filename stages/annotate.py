"""Draws what was found into the video: boxes, track numbers, names. H.264 that a browser plays.

Runs after the search, over the recorded tracks, so that a name is shown from a person's first frame on. Draws
straight into the planes of yuv420p, which spares two colour conversions a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipeline.errors import OutputError
from pipeline.protocol import Batch
from stages.records import Frame, Image
from stages.video.clock import TICK_S
from stages.video.pixels import colour_matrix
from watchlist.tracks import box_number

TIME_BASE = Fraction(1, 90000)
MOST_HEIGHT = 1080
# Luma, Cb, Cr of each outcome: green match, blue no match, grey not assessable.
COLOURS = {"match": (150, 60, 60), "no_match": (120, 180, 90), "not_assessable": (140, 128, 128)}
LINGER_S = 0.25  # a box is still drawn this long after its last detection


class Annotate:
    """``out`` and ``database`` of the run; ``blur_bystanders`` makes every tracked face that is no match
    unrecognisable. ``crf``: H.264 quality, lower is better and larger; ``preset``: x264's, slower is smaller."""

    def __init__(
        self, out: Path, database: Path, blur_bystanders: bool = False, crf: int = 24, preset: str = "superfast"
    ) -> None:
        self._out, self._database, self._blur = out, database, blur_bystanders
        self._options = {"crf": str(crf), "preset": preset}
        self._container: Any = None
        self._tracks: list[dict[str, Any]] = []
        self._last = -1

    def open(self) -> None:
        from watchlist.store import Store

        self._store = Store(self._database)

    def process(self, batch: Batch) -> Batch:
        with _telling():
            for frame in batch:
                self._one(frame)
        return []

    def flush(self) -> Batch:
        if self._container is None:
            return []
        with _telling():
            for packet in self._stream.encode():
                self._container.mux(packet)
            self._container.close()
            self._part.replace(self._part.with_name(self._part.name.replace(".part.mp4", ".mp4")))
            self._container = None
        return []

    def close(self) -> None:
        self._store.close()

    def _one(self, frame: Frame) -> None:
        if self._container is None:
            self._begin(frame.source, frame.image)
        picture, scale, corner = fitted(frame.image, self._size)
        for track in self._tracks:
            box = box_at(track["path"], frame.pts_s)
            if box is not None:
                draw(picture, box * scale + corner, track, self._blur)
        video = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        video.pts = max(self._last + 1, round(frame.pts_s / TIME_BASE))
        video.time_base = TIME_BASE
        self._last = video.pts
        for packet in self._stream.encode(video):
            self._container.mux(packet)

    def _begin(self, source: str, planes: Image) -> None:
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        if height > MOST_HEIGHT:
            width, height = round(width * MOST_HEIGHT / height / 2) * 2, MOST_HEIGHT
        self._size = width, height
        folder = self._out / "annotated"
        folder.mkdir(parents=True, exist_ok=True)
        self._part = folder / f"{source}.part.mp4"
        self._part.unlink(missing_ok=True)  # so that no link is written through
        self._container = av.open(str(self._part), "w", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", options=self._options)
        self._stream.width, self._stream.height = self._size
        self._stream.codec_context.colorspace = {Colorspace.ITU709: 1}.get(colour_matrix(planes.shape[0] * 2 // 3), 6)
        self._stream.codec_context.color_range = ColorRange.MPEG
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = TIME_BASE
        self._last = -1
        self._tracks = self._store.tracks(source)
        for track in self._tracks:
            path = np.frombuffer(track["path"], np.float32).reshape(-1, 5)
            track["path"] = widened(path) if self._blur and track["outcome"] != "match" else path


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"cannot write the annotated video: {getattr(error, 'strerror', None) or error}") from None


def fitted(planes: Image, size: tuple[int, int]) -> tuple[Image, float, NDArray[np.float32]]:
    """A planar picture at the size (width, height) of the video, which a recording that changes its own is given with black
    borders; by what its coordinates are to be multiplied then, and what to be added to x1 y1 x2 y2."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    if (width, height) == size:
        return planes, 1.0, np.zeros(4, np.float32)
    scale = min(size[0] / width, size[1] / height)
    inner = tuple(min(most, max(2, round(side * scale / 2) * 2)) for side, most in zip((width, height), size, strict=True))
    x, y = ((most - side) // 4 * 2 for side, most in zip(inner, size, strict=True))
    small = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(width=inner[0], height=inner[1]).to_ndarray()
    whole = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
    whole[: size[1]] = 16
    for to, part, half in zip(_planes(whole), _planes(small), (1, 2, 2), strict=True):
        to[y // half : y // half + part.shape[0], x // half : x // half + part.shape[1]] = part
    return whole, scale, np.array([x, y, x, y], np.float32)


def _planes(planes: Image) -> tuple[Image, Image, Image]:
    """Luma (H, W) and both chromas (H/2, W/2) of a planar picture, as views."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat = planes.reshape(-1)
    u, v = flat[height * width :].reshape(2, height // 2, width // 2)
    return flat[: height * width].reshape(height, width), u, v


def box_at(path: NDArray[np.float32], pts_s: float) -> NDArray[np.float32] | None:
    """The box (4,) of a track at a time, between its detections (M, 5); None where the track is not in view."""
    times = path[:, 0]
    slack = TICK_S + float(np.spacing(times[-1]))  # they are kept in 32 bits
    if pts_s < times[0] - slack or pts_s > times[-1] + LINGER_S + slack:
        return None
    return np.array([np.interp(pts_s, times, path[:, 1 + i]) for i in range(4)], np.float32)


def widened(path: NDArray[np.float32]) -> NDArray[np.float32]:
    """A path that begins and ends a little earlier and later: a tracker sees a face before it trusts it."""
    step = float(np.median(np.diff(path[:, 0]))) if len(path) > 1 else 0.2
    first, last = path[:1].copy(), path[-1:].copy()
    first[0, 0] -= 2.5 * step
    last[0, 0] += 2.5 * step
    return np.vstack([first, path, last])


def draw(planes: Image, box: NDArray[np.float32], track: dict[str, Any], blur: bool) -> None:
    """Draw one track into a planar yuv420p picture (3H/2, W)."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma, *chroma = _planes(planes)
    colour = COLOURS[track["outcome"]]
    x1, y1, x2, y2 = (int(v) for v in np.clip(box, 0, (width - 1, height - 1, width - 1, height - 1)).round())
    if blur and track["outcome"] != "match":
        _hide(luma, x1, y1, x2, y2)
        for plane in chroma:
            _hide(plane, x1 // 2, y1 // 2, x2 // 2, y2 // 2)
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


def _hide(plane: Image, x1: int, y1: int, x2: int, y2: int) -> None:
    """Replace a face by a few blocks."""
    margin = (x2 - x1) // 5
    part = plane[max(0, y1 - margin) : y2 + margin, max(0, x1 - margin) : x2 + margin]
    if part.size:
        small = cv2.resize(part, (4, 5), interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(small, part.shape[::-1], interpolation=cv2.INTER_NEAREST)
