"""Reads recordings with PyAV: any container and codec FFmpeg reads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, Literal

import av
import av.error

from pipeline.errors import SourceError, redact_url
from pipeline.protocol import Batch, SourceReport, SourceSpec
from stages.clock import Clock
from stages.container import check_every, choose_every, open_video, pixels_of, shape_of_pixels, why
from stages.probe import began, refuse_picture
from stages.records import Frame
from stages.special_files import refusal

AHEAD = 3  # decoded frames that may wait for detection
INDEXED = ("mp4", "matroska", "avi")
END = object()


class Decode:
    """The source of the graph. Decodes ahead in a thread of its own; only frames that go on are converted to pixels.

    ``detect_every``: a frame goes on every n-th decoded one; ``auto`` chooses n from size and rate. Lower finds faces
    that are seen shortly, higher is faster. ``picture``: ``rgb24``, or ``yuv420p`` for drawing.
    """

    def __init__(
        self,
        detect_every: int | Literal["auto"] = "auto",
        picture: Literal["rgb24", "yuv420p"] = "rgb24",
    ) -> None:
        check_every(detect_every)
        self._detect_every, self._picture = detect_every, picture
        self._every = 1
        self._report = SourceReport("", "")
        self._stop = threading.Event()
        self._frames: queue.Queue[Any] = queue.Queue(AHEAD)
        self._thread: threading.Thread | None = None

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        self.close()
        self._stop.clear()
        self._frames = queue.Queue(AHEAD)
        self._report = SourceReport(spec.name, redact_url(spec.url), position_s=after_s or 0.0)
        self._spec, self._after = spec, after_s
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
            self._recording(container)
            self._put(END)
        except Exception as error:  # handed to the reader, who raises it
            self._put(error if isinstance(error, SourceError) else SourceError(why(error)))

    def _put(self, item: Any) -> None:
        while True:
            try:
                self._frames.put(item, timeout=0.2)
                return
            except queue.Full:
                if self._stop.is_set() and item is not END:
                    return

    def _open(self) -> Any:
        if odd := refusal(self._spec.url):
            raise SourceError(odd)
        container, stream = open_video(self._spec.url)
        refuse_picture(container)
        self._report.started_at, self._report.started_from = began(container)
        self._every, chosen = choose_every(self._detect_every, stream)
        if chosen:
            self._report.choices["detect_every"] = chosen
        self._report.duration_s = _length(container, stream)
        return container

    def _recording(self, container: Any) -> None:
        stream = container.streams.video[0]
        corrupt = 0
        if self._after and not self._seek(container, stream):
            container.close()
            container = self._open()
            stream = container.streams.video[0]
        clock, shape = Clock(stream), shape_of_pixels(stream)
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
                    pixels = pixels_of(picture, self._picture, shape)
                    self._put(Frame(self._spec.name, round(pts * clock.rate), pts, pixels))
                if self._stop.is_set():
                    break
        end = clock.last + 1 / clock.rate  # the last frame is seen that long
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


def _length(container: Any, stream: Any) -> float | None:
    """Seconds of video, if the file says: its sound may be longer, so the container's length is second choice."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None
