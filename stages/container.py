"""Opening a video and taking pictures out of it: what recordings and cameras share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from pipeline.errors import SourceError
from stages.records import Image
from stages.special_files import Pipe, is_pipe

MOST_PIXELS = 64_000_000
NETWORK_TIMEOUT_S = 10.0


def open_video(url: str, transport: str = "tcp", timeout_s: float | None = NETWORK_TIMEOUT_S) -> tuple[Any, Any]:
    """The container and its first video stream. ``timeout_s``: how long opening, and each read, of an address may take; None for
    a reader that is watched from outside. Raises SourceError if there is none that can be read."""
    try:
        options = {"rtsp_transport": transport} if url.startswith("rtsp") else {}
        timeout = timeout_s if "://" in url else None
        form = "v4l2" if url.startswith("/dev/video") else None
        container = av.open(
            Pipe(url) if is_pipe(url) else url, format=form, options=options, timeout=timeout, metadata_errors="ignore"
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError("no video in this folder" if Path(url).is_dir() else why(error)) from None
    try:
        if not container.streams.video:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise SourceError(f"no video in it, only {kinds}")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise SourceError("its codec is unknown")
        if pixels_shown(stream) > MOST_PIXELS:
            size = f"{stream.width}x{stream.height}"
            raise SourceError(f"a frame of {size} is above the limit of {MOST_PIXELS // 1_000_000} million pixels")
    except SourceError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    return container, stream


def check_every(detect_every: object) -> None:
    """Raises ValueError for what is no ``detect_every``."""
    if detect_every != "auto" and (not isinstance(detect_every, int) or detect_every < 1):
        raise ValueError(f"detect_every = {detect_every!r}: must be auto or a whole number from 1")


def choose_every(detect_every: int | Literal["auto"], stream: Any) -> tuple[int, str]:
    """Of how many frames one is searched; for ``auto`` by size and rate, and why."""
    if detect_every != "auto":
        return detect_every, ""
    rate, wanted = float(stream.average_rate or 25), wanted_rate(stream)
    every = max(1, round(rate / wanted))
    return every, (
        f"{every}: {stream.width}x{stream.height} at {rate:.4g} frames/s, "
        f"aiming at {min(rate, wanted):.3g} detections a second for this size"
    )


def wanted_rate(stream: Any) -> float:
    """Detections a second that are worth their time, by the size of the picture."""
    pixels = pixels_shown(stream)
    return 25.0 if pixels <= 250_000 else 9.0 if pixels <= 1_000_000 else 5.0


def shape_of_pixels(stream: Any) -> float:
    """Width of a pixel as it is shown over its height. Recorders store half the rows, or three quarters of the columns."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.25 <= ratio <= 4 and not 0.98 < ratio < 1.02 else 1.0


def pixels_shown(stream: Any) -> float:
    """Square pixels of a picture."""
    shape = shape_of_pixels(stream)
    return float(stream.width * stream.height * max(shape, 1 / shape))


def pixels_of(picture: VideoFrame, kind: str = "rgb24", shape: float = 1.0) -> Image:
    """RGB (H, W, 3), or planar yuv420p (3H/2, W), turned upright, its pixels made square from ``shape`` (`shape_of_pixels`)."""
    turns = round(getattr(picture, "rotation", 0) / 90) % 4
    width, height = round(picture.width * max(1.0, shape)), round(picture.height * max(1.0, 1 / shape))
    if kind == "yuv420p":
        # Even sizes: chroma has half the pixels each way.
        planes = picture.reformat(width=width // 2 * 2, height=height // 2 * 2, format="yuv420p").to_ndarray()
        return turn_planes(planes, turns) if turns else planes
    pixels = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def why(error: BaseException) -> str:
    if isinstance(error, SourceError):
        return str(error)
    text = getattr(error, "strerror", None) or str(error)
    return f"cannot be read: {text}"


def turn_planes(planes: Image, turns: int) -> Image:
    """Rotate a planar yuv420p picture (3H/2, W) by quarter turns counter-clockwise."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat = planes.reshape(-1)
    y = flat[: height * width].reshape(height, width)
    u, v = flat[height * width :].reshape(2, height // 2, width // 2)
    turned = np.concatenate([np.rot90(p, turns).reshape(-1) for p in (y, u, v)])
    return np.ascontiguousarray(turned.reshape(-1, width if turns % 2 == 0 else height))
