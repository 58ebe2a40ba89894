"""Opening a video: what recordings and cameras share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import av.error
from av.stream import Disposition

from pipeline.errors import SourceError
from stages.video.special_files import Pipe, is_pipe

MOST_PIXELS = 64_000_000
FRAME_THREADS_BYTES = 32_000_000  # a decoder keeps one frame more for each thread: larger ones are decoded one at a time
NETWORK_TIMEOUT_S = 10.0
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails  # covers and previews
DEPENDENT = Disposition.dependent | Disposition.multilayer  # nothing without the track they add to


def open_video(url: str, transport: str = "tcp", timeout_s: float | None = NETWORK_TIMEOUT_S, track: int = 0) -> tuple[Any, Any]:
    """The container and one of its video tracks, by its place among them. ``timeout_s``: how long opening, and each read, of an
    address may take; None for a reader that is watched from outside. Raises SourceError if it cannot be read."""
    try:
        options = {"rtsp_transport": transport} if url.startswith("rtsp") else {}
        timeout = timeout_s if "://" in url else None
        form = "v4l2" if url.startswith("/dev/video") else None
        # The limit is for the decoder, which would else make room for whatever size a damaged header tells.
        options["max_pixels"] = str(MOST_PIXELS)
        container = av.open(
            Pipe(url) if is_pipe(url) else url, format=form, options=options, timeout=timeout, metadata_errors="ignore"
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError("no video in this folder" if Path(url).is_dir() else why(error)) from None
    try:
        tracks = videos_in(container)
        if not tracks:
            kinds = ", ".join(sorted({_kind(s) for s in container.streams})) or "nothing"
            raise SourceError(f"no video in it, only {kinds}")
        if track >= len(tracks):
            raise SourceError(f"it has {len(tracks)} video tracks, not {track + 1}")
        stream = tracks[track]
        if stream.codec_context is None:
            raise SourceError("its codec is unknown")
        if too_large(stream.width, stream.height, shape_of_pixels(stream)):
            size = f"{stream.width}x{stream.height}"
            raise SourceError(f"a frame of {size} is above the limit of {MOST_PIXELS // 1_000_000} million pixels")
    except SourceError:
        container.close()
        raise
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    stream.thread_type = "AUTO"
    if 3 * stream.width * stream.height > FRAME_THREADS_BYTES:
        one_at_a_time(stream)
    return container, stream


def one_at_a_time(stream: Any) -> None:
    """Have a stream's frames decoded one after another, not several by threads: each comes at once, in less memory.
    FFmpeg's H.264 decoder with threads by slice would hide what is damaged."""
    stream.thread_type = "NONE" if stream.codec_context.name == "h264" else "SLICE"


def videos_in(container: Any) -> list[Any]:
    """The video tracks; covers, previews and layers of another track are none."""
    return [s for s in container.streams.video if not s.disposition & (PICTURES | DEPENDENT)]


def left_out(container: Any) -> str:
    """What of a file looks like video and is not read."""
    words = []
    for stream in container.streams:
        if stream.type == "video" and stream.disposition & PICTURES:
            words.append(f"a picture that is attached ({_size(stream)})")
        elif stream.type == "video" and stream.disposition & DEPENDENT:
            words.append(f"a layer of another track ({_size(stream)})")
        elif stream.type == "attachment":
            words.append(f"an attachment ({stream.metadata.get('filename') or stream.metadata.get('FILENAME') or 'unnamed'})")
    return ", ".join(words)


def _size(stream: Any) -> str:
    if stream.codec_context is None:
        return "unknown"
    return f"{stream.codec_context.name} {stream.width}x{stream.height}"


def _kind(stream: Any) -> str:
    return "a picture" if stream.type == "video" else str(stream.type)


def too_large(width: int, height: int, shape: float = 1.0) -> bool:
    """Whether a frame of so many pixels, of this shape, is above what memory is kept for."""
    return width * height * max(shape, 1 / shape) > MOST_PIXELS


class Packets:
    """Decoded frames of a stream until its readable end. A damaged packet costs its own frames and no others.

    What was lost is counted: packets ``undecodable``, frames ``oversized``; ``cut`` if the container itself ended in a fault.
    Packets ``flagged`` by the container have a gap in their numbering, as where two whole files were joined: no loss by itself.
    With ``others`` the sound and other tracks are read too, though not decoded: ``others_end`` is where they end on the file's
    own clock, in seconds, and ``read_to`` the byte up to which the file was understood.
    """

    def __init__(self, container: Any, stream: Any, others: bool = False) -> None:
        self._container, self._stream, self._others = container, stream, others
        self.undecodable = self.oversized = self.flagged = 0
        self.cut = False
        self.others_end = 0.0
        self.read_to = 0

    def __iter__(self) -> Iterator[Any]:
        packets = self._container.demux() if self._others else self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except (av.error.FFmpegError, OSError):
                self.cut = True
                return
            if packet.pos is not None and packet.pos >= 0:
                self.read_to = max(self.read_to, packet.pos + packet.size)
            if packet.stream.index != self._stream.index:
                if packet.pts is not None and packet.time_base and packet.stream.type in ("video", "audio"):
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.others_end = max(self.others_end, end)
                continue
            self.flagged += packet.is_corrupt
            try:
                frames = packet.decode()
            except av.error.ArgumentError:  # what a decoder says to a frame above the limit
                self.oversized += 1
                continue
            except av.error.EOFError:
                continue
            except av.error.FFmpegError:
                self.undecodable += 1
                continue
            for frame in frames:
                if too_large(frame.width, frame.height):
                    self.oversized += 1
                else:
                    yield frame


def check_every(detect_every: object) -> None:
    """Raises ValueError for what is no ``detect_every``."""
    if detect_every != "auto" and (not isinstance(detect_every, int) or detect_every < 1):
        raise ValueError(f"detect_every = {detect_every!r}: must be auto or a whole number from 1")


def choose_every(detect_every: int | Literal["auto"], stream: Any, rate: float) -> tuple[int, str]:
    """Of how many frames one is searched; for ``auto`` by size and ``rate`` in frames a second, and why."""
    if detect_every != "auto":
        return detect_every, ""
    wanted = wanted_rate(stream)
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


def why(error: BaseException) -> str:
    if isinstance(error, SourceError):
        return str(error)
    text = getattr(error, "strerror", None) or str(error)
    return f"cannot be read: {text}"
