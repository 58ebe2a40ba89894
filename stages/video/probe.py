"""Opens a file to find out whether it is a video, how long it is, and when its recording started."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import av.error

from pipeline.errors import SourceError

STILL_FORMATS = frozenset("image2 image2pipe gif apng ico webp webp_anim tiff".split())
STILL_BRANDS = frozenset("heic heix heim heis mif1 avif".split())  # of HEIF and AVIF, which are kept as MP4 is
PLAYLIST_FORMATS = frozenset("hls dash concat tty".split())  # of other files, and text
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
START_KEYS = ("com.apple.quicktime.creationdate", "creation_time", "date")
STILL_IMAGE = "a picture, no video; enrol it with `watchlist add`, or look for its person with `search`"


def not_video_reason(path: Path) -> str:
    """Return why a file is not a video; "" if a frame of it can be decoded. No other file and no network is accessed."""
    try:
        # "file" alone: a playlist in a folder must not make us fetch anything.
        with av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="ignore") as container:
            if container.format.name in PLAYLIST_FORMATS:
                return "no video in it, only text"
            if is_still_image(container):
                return "a picture, no video"
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                kinds = ", ".join(sorted({s.type for s in container.streams} - {"video"})) or "nothing"
                return f"no video in it, only {kinds}"
            for _ in container.decode(streams[0]):
                return ""
            return "no frame of it can be decoded"
    except (av.error.InvalidDataError, av.error.DemuxerNotFoundError):
        return "no video"
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def file_duration(url: str) -> float | None:
    """Return the duration in seconds stated by a file's container; None if there is none, or if it is not a regular file."""
    if "://" in url or not Path(url).is_file():
        return None
    try:
        with av.open(url, options={"protocol_whitelist": "file"}, metadata_errors="ignore") as container:
            return container.duration / av.time_base if container.duration else None
    except (av.error.FFmpegError, OSError, ValueError):
        return None


def is_still_image(container: Any) -> bool:
    """Return whether an open container is a still image. Animated GIF, PNG and WebP are videos."""
    name = container.format.name
    if name in ("gif", "apng", "webp_anim"):
        stream = container.streams.video[0] if container.streams.video else None
        moving = stream is not None and sum(1 for _ in zip(container.demux(stream), range(3), strict=False)) > 2
        container.seek(0)
        return not moving
    brand = container.metadata.get("major_brand", "")
    return name in STILL_FORMATS or name.endswith("_pipe") or brand in STILL_BRANDS


def reject_still_image(container: Any) -> None:
    """Raise SourceError for a still image."""
    if is_still_image(container):
        container.close()
        raise SourceError(STILL_IMAGE)


def recording_start(container: Any, now: float | None = None) -> tuple[float | None, str]:
    """Return the start of a recording as Unix time and the metadata entry it is from; None and "" if there is none.

    Entries without a time of day, before 1990 or in the future are ignored: cameras whose clock was never set write them.
    """
    now = time.time() if now is None else now
    entries = [container.metadata, *(stream.metadata for stream in container.streams.video)]
    for key in START_KEYS:
        for metadata in entries:
            found = next((value for name, value in metadata.items() if name.lower() == key), None)
            at = None if found is None else _time(found)
            if at is not None and EARLIEST <= at <= now + DAY_S:
                return at, f"{key} of the file"
    return None, ""


def _time(text: str) -> float | None:
    """Parse a date with a time of day as Unix time, in UTC unless it has an offset; None for other text."""
    if len(text) < len("2026-11-30T17") or not text[:4].isdigit():
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
