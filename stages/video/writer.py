"""Writes H.264 video that plays in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipeline.errors import OutputError
from stages.records import Image
from stages.video.pixels import as_uint8, colour_matrix, split_planes

TIME_BASE = Fraction(1, 90000)
MAX_HEIGHT = 1080


class VideoWriter:
    """Encodes yuv420p frames into an MP4 file. The file gets its name when it is complete.

    Args:
        path: the file to write, ``*.mp4``.
        first: the first frame, planar yuv420p uint8 (3H/2, W). Its size, at most `MAX_HEIGHT` lines, is the size of the video.
        options: options of libx264.

    Raises:
        OutputError: the file cannot be written, or an option is wrong. `write` and `finish` raise it too.
    """

    def __init__(self, path: Path, first: Image, options: dict[str, str]) -> None:
        height, width = first.shape[0] * 2 // 3, first.shape[1]
        if height > MAX_HEIGHT:
            width, height = round(width * MAX_HEIGHT / height / 2) * 2, MAX_HEIGHT
        self.size = width, height
        self._path, self._part = path, path.with_suffix(".part.mp4")
        self._last = -1
        with _as_output_error():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._part.unlink(missing_ok=True)  # so that no link is written through
            self._container = av.open(str(self._part), "w", options={"movflags": "+faststart"})
            self._stream = self._container.add_stream("libx264", options=options)
            self._stream.width, self._stream.height = self.size
            self._stream.codec_context.colorspace = {Colorspace.ITU709: 1}.get(colour_matrix(first.shape[0] * 2 // 3), 6)
            self._stream.codec_context.color_range = ColorRange.MPEG
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = TIME_BASE

    def write(self, planes: Image, pts_s: float) -> None:
        """Add a frame of the video's size (see `letterbox`) at a time in seconds."""
        with _as_output_error():
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = self._last = max(self._last + 1, round(pts_s / TIME_BASE))
            frame.time_base = TIME_BASE
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def finish(self) -> None:
        """Complete the file."""
        with _as_output_error():
            for packet in self._stream.encode():
                self._container.mux(packet)
            self._container.close()
            self._part.replace(self._path)


def letterbox(planes: Image, size: tuple[int, int]) -> tuple[Image, float, NDArray[np.float32]]:
    """Scale a frame to the size of the video, with black borders. Only needed where a recording changes its size.

    Args:
        planes: planar yuv420p uint8 (3H/2, W).
        size: width and height of the video.

    Returns:
        The frame at that size, and what boxes ``x1 y1 x2 y2`` of the frame are to be multiplied by and shifted by.
    """
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    if (width, height) == size:
        return planes, 1.0, np.zeros(4, np.float32)
    scale = min(size[0] / width, size[1] / height)
    inner = tuple(min(most, max(2, round(side * scale / 2) * 2)) for side, most in zip((width, height), size, strict=True))
    x, y = ((most - side) // 4 * 2 for side, most in zip(inner, size, strict=True))
    small = as_uint8(av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(width=inner[0], height=inner[1]))
    whole = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
    whole[: size[1]] = 16
    for to, part, half in zip(split_planes(whole), split_planes(small), (1, 2, 2), strict=True):
        to[y // half : y // half + part.shape[0], x // half : x // half + part.shape[1]] = part
    return whole, scale, np.array([x, y, x, y], np.float32)


@contextmanager
def _as_output_error() -> Iterator[None]:
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"cannot write the annotated video: {getattr(error, 'strerror', None) or error}") from None
