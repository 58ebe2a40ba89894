"""Opens and decodes video: the part that recordings and cameras share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import av.error
from av.stream import Disposition

from pipeline.errors import SourceError
from stages.video.special_files import Pipe, is_pipe

MAX_PIXELS = 64_000_000
MAX_FRAME_THREAD_BYTES = 32_000_000  # larger frames are decoded without frame threads, which hold one frame each
NETWORK_TIMEOUT_S = 10.0
ATTACHED_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails  # covers and previews
DEPENDENT_LAYERS = Disposition.dependent | Disposition.multilayer  # enhancement layers of another track


def open_video(url: str, transport: str = "tcp", timeout_s: float | None = NETWORK_TIMEOUT_S, track: int = 0) -> tuple[Any, Any]:
    """Open a video file or stream.

    Args:
        url: path, or address with a scheme.
        transport: ``tcp`` or ``udp``, for RTSP.
        timeout_s: time limit for opening and for each read of an address, in seconds; None for no limit.
        track: index among the video tracks.

    Returns:
        The PyAV container and the video stream.

    Raises:
        SourceError: it cannot be read, has no such track, or its frames are too large.
    """
    try:
        options = {"rtsp_transport": transport} if url.startswith("rtsp") else {}
        timeout = timeout_s if "://" in url else None
        form = "v4l2" if url.startswith("/dev/video") else None
        # The decoder needs the limit too: it would allocate any size that a damaged header gives.
        options["max_pixels"] = str(MAX_PIXELS)
        container = av.open(
            Pipe(url) if is_pipe(url) else url, format=form, options=options, timeout=timeout, metadata_errors="ignore"
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError("no video in this folder" if Path(url).is_dir() else error_text(error)) from None
    try:
        tracks = video_tracks(container)
        if not tracks:
            kinds = ", ".join(sorted({_kind(s) for s in container.streams})) or "nothing"
            raise SourceError(f"no video in it, only {kinds}")
        if track >= len(tracks):
            raise SourceError(f"it has {len(tracks)} video tracks, not {track + 1}")
        stream = tracks[track]
        if stream.codec_context is None:
            raise SourceError("its codec is unknown")
        if is_too_large(stream.width, stream.height, pixel_aspect_ratio(stream)):
            size = f"{stream.width}x{stream.height}"
            raise SourceError(f"a frame of {size} is above the limit of {MAX_PIXELS // 1_000_000} million pixels")
    except SourceError:
        container.close()
        raise
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    if 3 * stream.width * stream.height > MAX_FRAME_THREAD_BYTES:
        disable_frame_threads(stream)
    return container, stream


def disable_frame_threads(stream: Any) -> None:
    """Decode a stream without frame threads: less latency and less memory.

    H.264 is decoded in one thread, since FFmpeg's slice threads hide damage.
    """
    stream.thread_type = "NONE" if stream.codec_context.name == "h264" else "SLICE"


def video_tracks(container: Any) -> list[Any]:
    """Return the video tracks, without covers, previews and enhancement layers."""
    return [s for s in container.streams.video if not s.disposition & (ATTACHED_PICTURES | DEPENDENT_LAYERS)]


def unread_parts(container: Any) -> str:
    """Describe the parts of a file that look like video and are not read; "" if there are none."""
    words = []
    for stream in container.streams:
        if stream.type == "video" and stream.disposition & ATTACHED_PICTURES:
            words.append(f"a picture that is attached ({_size(stream)})")
        elif stream.type == "video" and stream.disposition & DEPENDENT_LAYERS:
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


def is_too_large(width: int, height: int, shape: float = 1.0) -> bool:
    """Return whether a frame of this size and pixel aspect ratio has more than `MAX_PIXELS` square pixels."""
    return width * height * max(shape, 1 / shape) > MAX_PIXELS


class FrameDecoder:
    """Iterates over the decoded frames of a stream until its readable end. A damaged packet only costs its own frames.

    Args:
        container: the open container.
        stream: the video track to decode.
        all_tracks: also read (but not decode) the packets of the other tracks, for ``all_tracks_end_s``.

    Attributes:
        undecodable: packets that could not be decoded.
        oversized: frames above the limit of `MAX_PIXELS`.
        corrupt_packets: packets that the container flagged as following a gap, as where files were joined; not a loss by itself.
        truncated: whether the container ended with an error.
        all_tracks_end_s: end of the other tracks in seconds of the file's own clock.
        last_byte: end of the last packet in the file.
    """

    def __init__(self, container: Any, stream: Any, all_tracks: bool = False) -> None:
        self._container, self._stream, self._all_tracks = container, stream, all_tracks
        self.undecodable = self.oversized = self.corrupt_packets = 0
        self.truncated = False
        self.all_tracks_end_s = 0.0
        self.last_byte = 0

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets():
            yield from self._decode(packet)

    def _packets(self) -> Iterator[Any]:
        """The packets of the stream until its readable end."""
        packets = self._container.demux() if self._all_tracks else self._container.demux(self._stream)
        index = self._stream.index
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except (av.error.FFmpegError, OSError):
                self.truncated = True
                return
            if packet.pos is not None and packet.pos >= 0:
                self.last_byte = max(self.last_byte, packet.pos + packet.size)
            if packet.stream.index != index:
                if packet.pts is not None and packet.time_base and packet.stream.type in ("video", "audio"):
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.all_tracks_end_s = max(self.all_tracks_end_s, end)
                continue
            self.corrupt_packets += packet.is_corrupt
            yield packet

    def _decode(self, packet: Any | None) -> Iterator[Any]:
        """The frames that the decoder gives for a packet; None: those it still holds."""
        try:
            frames = self._stream.codec_context.decode(None) if packet is None else packet.decode()
        except av.error.ArgumentError:  # what a decoder says to a frame above the limit
            self.oversized += 1
            return
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            self.undecodable += 1
            return
        for frame in frames:
            if is_too_large(frame.width, frame.height):
                self.oversized += 1
            else:
                yield frame


def check_detect_every(detect_every: object) -> None:
    """Raise ValueError unless the setting is ``auto`` or a positive integer."""
    if detect_every != "auto" and (not isinstance(detect_every, int) or detect_every < 1):
        raise ValueError(f"detect_every = {detect_every!r}: must be auto or a whole number from 1")


def choose_detect_every(detect_every: int | Literal["auto"], stream: Any, rate: float) -> tuple[int, str]:
    """Resolve the setting ``detect_every``.

    Args:
        detect_every: the setting.
        stream: the video stream.
        rate: its frames per second.

    Returns:
        n, of which every n-th frame is searched, and the reason of an automatic choice ("" if it was set).
    """
    if detect_every != "auto":
        return detect_every, ""
    wanted = target_detection_rate(stream)
    every = max(1, round(rate / wanted))
    return every, (
        f"{every}: {stream.width}x{stream.height} at {rate:.4g} frames/s, "
        f"aiming at {min(rate, wanted):.3g} detections a second for this size"
    )


def target_detection_rate(stream: Any) -> float:
    """Return the searched frames per second that ``auto`` aims at, by frame size."""
    pixels = displayed_pixels(stream)
    return 25.0 if pixels <= 250_000 else 9.0 if pixels <= 1_000_000 else 5.0


def pixel_aspect_ratio(stream: Any) -> float:
    """Return width over height of a displayed pixel. Some recorders store half the rows or three quarters of the columns."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.25 <= ratio <= 4 and not 0.98 < ratio < 1.02 else 1.0


def displayed_pixels(stream: Any) -> float:
    """Return the number of square pixels of a displayed frame."""
    shape = pixel_aspect_ratio(stream)
    return float(stream.width * stream.height * max(shape, 1 / shape))


def error_text(error: BaseException) -> str:
    """Return the reason of a reading error, for messages."""
    if isinstance(error, SourceError):
        return str(error)
    text = getattr(error, "strerror", None) or str(error)
    return f"cannot be read: {text}"
