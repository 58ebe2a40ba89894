"""The source of the recording graph: reads any container and codec that FFmpeg supports, with PyAV."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import av.error

from pipeline.errors import SourceError
from pipeline.protocol import Batch, SourceSpec
from stages.records import Frame
from stages.video.activity import activity_of
from stages.video.clock import Clock, frame_rate_of, has_plain_timestamps, start_time_of
from stages.video.container import (
    FrameDecoder,
    check_detect_every,
    choose_detect_every,
    error_text,
    open_video,
    pixel_aspect_ratio,
    unread_parts,
    video_tracks,
)
from stages.video.damage import DamageDetector
from stages.video.deinterlace import Deinterlacer, mode_of
from stages.video.integrity import DecodeSummary, duration_of, lists_frame_times, loss_counts, loss_reasons
from stages.video.pixels import to_pixels
from stages.video.probe import recording_start, reject_still_image
from stages.video.quiet_decoder import QuietDecoder, SkippedFrame
from stages.video.source import VideoSource
from stages.video.special_files import refusal_reason

PREFETCH = 3  # decoded frames that may wait for detection
PREFETCH_BYTES = 100_000_000  # fewer, if the frames are larger
REPORT_EVERY_S = 10.0  # of a quiet part, between two reports of the position
INDEXED = ("mp4", "matroska", "avi")
END = object()


class Decode(VideoSource):
    """Decodes a recording, prefetching in a thread of its own. Only frames that are searched are converted to pixels.

    The option ``track`` of a source is the index of the video track to read.

    Args:
        detect_every: search every n-th frame; ``auto`` chooses n from frame size and rate. Raising it is faster and misses faces
            that are seen briefly.
        picture: pixel format of the frames: ``rgb24``, or ``yuv420p`` for drawing.
        deinterlace: ``auto`` deinterlaces frames that are flagged as interlaced, ``on`` all (for recorders that flag none),
            ``off`` none.
        activity: ``safe`` decodes a group of pictures only if its packet sizes or its key frames show that something happens, and
            the groups next to it. ``fast`` compares key frames every ten seconds only, so it may miss people who hardly change
            the packet sizes. ``off`` decodes everything.
        full_search_s: with ``activity``, interval in seconds at which a group of pictures is decoded and searched whatever it
            shows. Raising it is faster and finds people who sit still later.

    Raises:
        ValueError: an argument is not allowed.
    """

    def __init__(
        self,
        detect_every: int | Literal["auto"] = "auto",
        picture: Literal["rgb24", "yuv420p"] = "rgb24",
        deinterlace: Literal["auto", "off", "on"] | bool = "auto",
        activity: Literal["off", "safe", "fast"] | bool = "off",
        full_search_s: float = 300.0,
    ) -> None:
        super().__init__()
        check_detect_every(detect_every)
        if not full_search_s > 0:
            raise ValueError(f"full_search_s = {full_search_s!r}: must be above 0")
        self._activity, self._full_search_s = activity_of(activity), full_search_s
        self._deinterlace = mode_of(deinterlace)
        self._detect_every, self._picture = detect_every, picture
        self._every = 1
        self._frames: queue.Queue[Any] = queue.Queue(PREFETCH)
        self._thread: threading.Thread | None = None

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        self._begin(spec)
        self._report.position_s = after_s or 0.0
        self._frames = queue.Queue(PREFETCH)
        self._after = after_s
        self._track = int(dict(spec.options).get("track", 0))
        container = self._open()
        self._thread = threading.Thread(target=self._decode_all, args=(container,), daemon=True)
        self._thread.start()

    def read(self) -> Batch | None:
        while isinstance(item := self._frames.get(), float):  # nothing happens up to this PTS
            self._report.position_s = item
        if item is END:
            return None
        if isinstance(item, BaseException):
            raise item
        self._report.position_s = item.pts_s
        return [item]

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
            self._decode_recording(container)
            self._put(END)
        except Exception as error:  # `read` raises it
            self._put(error if isinstance(error, SourceError) else SourceError(error_text(error)))

    def _put(self, item: Any) -> None:
        most = min(PREFETCH, max(1, PREFETCH_BYTES // item.image.nbytes)) if isinstance(item, Frame) else PREFETCH
        while True:
            try:
                if self._frames.qsize() < most:
                    self._frames.put(item, timeout=0.2)
                    return
                time.sleep(0.002)
            except queue.Full:
                pass
            if self._stop.is_set() and item is not END:
                return

    def _open(self) -> Any:
        if odd := refusal_reason(self._spec.url):
            raise SourceError(odd)
        container, stream = open_video(self._spec.url, track=self._track)
        reject_still_image(container)
        self._report.started_at, self._report.started_from = recording_start(container)
        self._every, chosen = choose_detect_every(self._detect_every, stream, frame_rate_of(container, stream)[0])
        choices = self._report.choices
        if chosen:
            choices["detect_every"] = chosen
        if (count := len(video_tracks(container))) > 1:
            choices["track"] = f"video track {self._track + 1} of {count}"
        if unread := unread_parts(container):
            choices["not read"] = unread
        return container

    def _decode_recording(self, container: Any) -> None:
        stream = video_tracks(container)[self._track]
        resumed = bool(self._after) and self._activity == "off" and self._seek(container, stream)
        if self._after and not resumed and self._activity == "off":
            container.close()
            container = self._open()
            stream = video_tracks(container)[self._track]
        clock, shape = Clock(container, stream, resumed), pixel_aspect_ratio(stream)
        self._report.duration_s = length = duration_of(container, stream, clock)
        if length is None and "matroska" in container.format.name:
            self._report.choices["length"] = "not told by the file: if it is still being recorded, read the rest with --resume"
        packets, damage, deinterlacer = (
            self._frame_decoder(container, stream),
            DamageDetector(),
            Deinterlacer(self._deinterlace),
        )
        slot = clock.slot(self._after, self._every) if self._after is not None else -1
        index, skipped, reported_s = 0, False, 0.0

        def with_damage() -> Iterator[tuple[Any, float, bool]]:
            for picture, pts in clock.timestamped(packets):
                lost = clock.gap and not lists_frame_times(container)
                yield picture, pts, not isinstance(picture, SkippedFrame) and damage(picture, pts, lost)

        for picture, pts, damaged in deinterlacer(with_damage()):
            if self._stop.is_set():
                break
            is_skipped = isinstance(picture, SkippedFrame)
            index += not is_skipped
            self._report.counts["frames_decoded"] = index
            if self._after is not None and pts <= self._after + 1e-6:
                continue
            # By time instead of a count, so that a resumed run, or one with `activity`, searches the same frames.
            due = clock.slot(pts, self._every)
            searched, slot = self._every == 1 or due != slot, due
            if is_skipped:
                skipped = True
                if pts >= reported_s + REPORT_EVERY_S:
                    reported_s = pts
                    self._put(pts)
            elif searched:
                pixels = to_pixels(picture, self._picture, shape)
                self._put(Frame(self._spec.name, round(pts * clock.rate), pts, pixels, damaged=damaged, after_skip=skipped))
                skipped = False
        if skipped and clock.last is not None and not self._stop.is_set():
            self._put(clock.last)
        if isinstance(packets, QuietDecoder):
            self._report.choices["activity"] = packets.describe()
            self._report.counts |= packets.counts()
        read = DecodeSummary(index, packets, damage, clock, length)
        faults = loss_reasons(read, container, stream)
        container.close()
        self._report.choices["clock"] = clock.describe()
        if deinterlacer.count:
            self._report.choices["deinterlace"] = f"{self._deinterlace}: {deinterlacer.count} frames are interlaced"
        self._report.counts |= loss_counts(read)
        if not self._stop.is_set() and faults:
            self._report.status, self._report.reason = ("incomplete" if index else "failed"), "; ".join(faults)

    def _frame_decoder(self, container: Any, stream: Any) -> FrameDecoder:
        if self._activity == "off":
            return FrameDecoder(container, stream, all_tracks=True)
        return QuietDecoder(container, stream, self._activity, self._full_search_s, self._after)

    def _seek(self, container: Any, stream: Any) -> bool:
        """Seek to a key frame at or before the position to resume from. Returns False if the file must be read from its start.

        It only seeks in containers with an index of key frames, if no time stamp before that position needs repair: otherwise
        the times would differ from those of an uninterrupted run.
        """
        if not any(name in container.format.name for name in INDEXED) or stream.start_time is None:
            return False
        assert self._after is not None
        start_s = start_time_of(container, stream)
        target = int((max(0.0, self._after - 0.5) + start_s) * 1e6)
        try:
            if not has_plain_timestamps(container.demux(stream), self._after, start_s):
                return False
            container.seek(target)
            first = next(container.decode(stream))
            if first.pts is None or float(first.pts * stream.time_base) - start_s > self._after:
                return False
            container.seek(target)
        except (av.error.FFmpegError, StopIteration):
            return False
        return True
