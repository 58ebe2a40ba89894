"""Reads video with PyAV: any container and codec FFmpeg reads, from a file or a live URL."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from pipeline.errors import SourceError, redact
from pipeline.protocol import Batch, SourceReport, SourceSpec
from stages.clock import Clock
from stages.records import Frame, Image

MOST_PIXELS = 64_000_000
AHEAD = 3  # decoded frames that may wait for detection
LIVE_TIMEOUT_S = 10.0
BACKOFF_S = (1.0, 30.0)
INDEXED = ("mp4", "matroska", "avi")
END = object()


class Decode:
    """The source of the graph. Decodes ahead in a thread of its own; only frames that go on are converted to pixels.

    ``detect_every``: a frame goes on every n-th decoded one; ``auto`` chooses n from size and rate. Lower finds faces
    that are seen shortly, higher is faster. ``consumption``: ``every`` reads a recording to its end; ``newest`` reads
    a live stream, keeps only the newest frame when the rest is slow, and reconnects for ever. ``picture``: ``rgb24``,
    or ``yuv420p`` for drawing.
    """

    def __init__(
        self,
        detect_every: int | Literal["auto"] = "auto",
        consumption: Literal["every", "newest"] = "every",
        picture: Literal["rgb24", "yuv420p"] = "rgb24",
        live_seconds: float | None = None,
    ) -> None:
        if detect_every != "auto" and (not isinstance(detect_every, int) or detect_every < 1):
            raise ValueError(f"detect_every = {detect_every!r}: must be auto or a whole number from 1")
        if consumption not in ("every", "newest"):
            raise ValueError(f"consumption = {consumption!r}: must be every or newest")
        self._detect_every, self._newest, self._picture = detect_every, consumption == "newest", picture
        self._live_seconds = live_seconds
        self._every = 1
        self._report = SourceReport("", "")
        self._stop = threading.Event()
        self._frames: queue.Queue[Any] = queue.Queue(AHEAD)
        self._thread: threading.Thread | None = None

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        self.close()
        self._stop.clear()
        self._frames = queue.Queue(1 if self._newest else AHEAD)
        self._report = SourceReport(spec.name, redact(spec.url), position_s=after_s or 0.0)
        self._spec, self._after = spec, after_s
        container = None
        if not self._newest:
            container = self._open()
        self._thread = threading.Thread(target=self._decode_all, args=(container,), daemon=True)
        self._thread.start()

    def read(self) -> Batch | None:
        item = self._frames.get()
        if item is END:
            return None
        if isinstance(item, BaseException):
            raise item
        self._report.position_s = item.pts_s
        return [item]

    def report(self) -> SourceReport:
        return self._report

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._stop.set()
        while self._thread is not None and self._thread.is_alive():
            try:
                self._frames.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread = None

    # --- the decoding thread

    def _decode_all(self, container: Any) -> None:
        try:
            if self._newest:
                self._live()
            else:
                self._recording(container)
            self._put(END)
        except Exception as error:  # handed to the reader, who raises it
            self._put(error if isinstance(error, SourceError) else SourceError(_why(error)))

    def _put(self, item: Any) -> None:
        while True:
            try:
                self._frames.put(item, timeout=0.2)
                return
            except queue.Full:
                if self._stop.is_set() and item is not END:
                    return
                if self._newest and item is not END:
                    self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._frames.get_nowait()
            self._report.counts["dropped_for_newer"] = self._report.counts.get("dropped_for_newer", 0) + 1
        except queue.Empty:
            return

    def _open(self) -> Any:
        try:
            options = {"rtsp_transport": "tcp"} if self._spec.url.startswith("rtsp") else {}
            timeout = LIVE_TIMEOUT_S if "://" in self._spec.url else None
            container = av.open(self._spec.url, options=options, timeout=timeout, metadata_errors="ignore")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(_why(error)) from None
        if not container.streams.video:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            container.close()
            raise SourceError(f"no video in it, only {kinds}")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            container.close()
            raise SourceError("its codec is unknown")
        stream.thread_type = "AUTO"
        if stream.width * stream.height > MOST_PIXELS:
            size = f"{stream.width}x{stream.height}"
            container.close()
            raise SourceError(f"a frame of {size} is above the limit of {MOST_PIXELS // 1_000_000} million pixels")
        self._every = self._choose_every(stream)
        if not self._newest:
            self._report.duration_s = _length(container, stream)
        return container

    def _choose_every(self, stream: Any) -> int:
        rate = float(stream.average_rate or 25)
        if self._detect_every != "auto":
            return self._detect_every
        pixels = stream.width * stream.height
        wanted = 25.0 if pixels <= 250_000 else 9.0 if pixels <= 1_000_000 else 5.0
        every = max(1, round(rate / wanted))
        self._report.choices["detect_every"] = (
            f"{every}: {stream.width}x{stream.height} at {rate:.4g} frames/s, "
            f"aiming at {min(rate, wanted):.3g} detections a second for this size"
        )
        return every

    def _recording(self, container: Any) -> None:
        stream = container.streams.video[0]
        corrupt = 0
        if self._after and not self._seek(container, stream):
            container.close()
            container = self._open()
            stream = container.streams.video[0]
        clock = Clock(stream)
        slot = clock.slot(self._after, self._every) if self._after is not None else -1
        index = 0
        for packet in self._packets(container, stream):
            if self._stop.is_set():
                break
            try:
                corrupt += packet is None or packet.is_corrupt
                pictures = packet.decode() if packet is not None else []
            except av.error.FFmpegError:
                corrupt += 1
                continue
            for picture in pictures:
                pts = clock.time(picture)
                index += 1
                self._report.counts["frames_decoded"] = index
                if self._after is not None and pts <= self._after + 1e-6:
                    continue
                # Told by time, not counted, so that a resumed run picks the same frames as an unbroken one.
                due = clock.slot(pts, self._every)
                if self._every == 1 or due != slot:
                    slot = due
                    self._put(Frame(self._spec.name, round(pts * clock.rate), pts, self._pixels(picture)))
                if self._stop.is_set():
                    break
        end = clock.last
        container.close()
        self._judge(index, corrupt, end)

    def _seek(self, container: Any, stream: Any) -> bool:
        """Go to a keyframe at or before where reading goes on; False if the file must be read from its start.

        Only containers with an index of keyframes are entered in the middle, and only if a frame that early comes out.
        """
        if not any(name in container.format.name for name in INDEXED) or stream.start_time is None:
            return False
        target = int(max(0.0, self._after - 0.5) * 1e6) + (container.start_time or 0)
        try:
            container.seek(target)
            first = next(container.decode(stream))
            start = float((stream.start_time or 0) * stream.time_base)
            if first.pts is None or float(first.pts * stream.time_base) - start > self._after:
                return False
            container.seek(target)
        except (av.error.FFmpegError, StopIteration):
            return False
        return True

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Packets until the readable end; a fault in the container gives None and ends reading."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, OSError):
                yield None
                return
            yield packet

    def _judge(self, frames: int, corrupt: int, end: float) -> None:
        """Say what was lost. Some slack: containers round their duration."""
        report = self._report
        if corrupt:
            report.counts["corrupt_packets"] = corrupt
        if self._stop.is_set():
            return
        if frames == 0:
            report.status, report.reason = "failed", "no frame of it can be decoded"
        elif report.duration_s and end + max(0.5, 0.02 * report.duration_s) < report.duration_s:
            report.status, report.reason = "incomplete", f"readable to {end:.1f} s of {report.duration_s:.1f} s"
        elif corrupt:
            report.status, report.reason = "incomplete", f"{corrupt} packets could not be decoded"

    def _live(self) -> None:
        """Read for ever, reconnecting; PTS start at 0 and never go back, a gap counts as the time it lasted."""
        started = time.monotonic()
        wait = BACKOFF_S[0]
        index = 0
        while not self._stop.is_set():
            try:
                container = self._open()
                self._report.reason = ""
                for picture in container.decode(video=0):
                    wait = BACKOFF_S[0]
                    now = time.monotonic() - started
                    if self._stop.is_set() or (self._live_seconds is not None and now > self._live_seconds):
                        self._stop.set()
                        break
                    if index % self._every == 0:
                        if self._frames.full():
                            self._drop_oldest()
                        self._put(Frame(self._spec.name, index, now, self._pixels(picture)))
                    index += 1
                container.close()
            except (SourceError, av.error.FFmpegError, OSError) as error:
                self._report.reason = redact(f"reconnecting: {_why(error)}")
            self._report.counts["frames_decoded"] = index
            if self._live_seconds is not None and time.monotonic() - started > self._live_seconds:
                break
            self._report.counts["reconnects"] = self._report.counts.get("reconnects", 0) + 1
            self._stop.wait(wait)
            wait = min(2 * wait, BACKOFF_S[1])

    def _pixels(self, picture: VideoFrame) -> Image:
        turns = round(getattr(picture, "rotation", 0) / 90) % 4
        if self._picture == "yuv420p":
            # Even sizes: chroma has half the pixels each way.
            even = picture.reformat(width=picture.width // 2 * 2, height=picture.height // 2 * 2, format="yuv420p")
            planes = even.to_ndarray()
            return turn_planes(planes, turns) if turns else planes
        pixels = picture.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _length(container: Any, stream: Any) -> float | None:
    """Seconds of video, if the file says: its sound may be longer, so the container's length is second choice."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _why(error: BaseException) -> str:
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
