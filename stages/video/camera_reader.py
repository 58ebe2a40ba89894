"""The process that reads one camera. A separate process can be killed when a decoder hangs or crashes.

    python -m stages.video.camera_reader        # started by stages.video.reader_process

Protocol over stdin and stdout:

- The first line in is JSON with the keywords of `decode`. The address comes by stdin because it may contain a password, which
  command-line arguments would expose.
- Each further line in requests the oldest buffered frame (`FrameBuffer`).
- Each answer is a line of JSON and the pixels. The line has the frame's shape, its arrival time (CLOCK_MONOTONIC, which is the
  same in all processes), whether it is damaged, and counters.
- A last line with ``error`` says why reading ended.

The process ends when stdin is closed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pipeline.errors import SourceError
from stages.video.clock import Clock
from stages.video.container import (
    FrameDecoder,
    disable_frame_threads,
    error_text,
    open_video,
    pixel_aspect_ratio,
    target_detection_rate,
)
from stages.video.damage import DamageDetector
from stages.video.deinterlace import Deinterlacer, mode_of
from stages.video.pixels import to_pixels
from stages.video.snapshots import POLL_S, is_snapshot, snapshots

MAX_BUFFERED = 6  # frames; bridges a short pause of the consumer
MAX_BURST = 2  # frames that may arrive at once without being skipped
OVERRUN_S = 10.0  # after a dropped frame, only the newest frame is buffered for this long


class FrameBuffer:
    """Buffers decoded frames between the decoder and the consumer; drops and counts old ones.

    Up to `MAX_BUFFERED` frames wait, so a short pause of the consumer drops none. After an overflow only the newest frame is
    buffered for `OVERRUN_S` seconds: a consumer that is too slow gets recent frames instead of a constant delay.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Any, float]] = deque()
        self._overrun_until = 0.0
        self.error = ""
        self.decoded = self.dropped = self.corrupt = self.is_too_large = 0
        self.shape = 1.0  # of a pixel

    def counts(self) -> dict[str, int]:
        return {"decoded": self.decoded, "dropped": self.dropped, "corrupt": self.corrupt, "too_large": self.is_too_large}

    def put(self, frame: Any) -> None:
        with self._changed:
            now = time.monotonic()
            if len(self._waiting) >= (1 if now < self._overrun_until else MAX_BUFFERED):
                self.dropped += len(self._waiting)
                self._waiting.clear()
                self._overrun_until = now + OVERRUN_S
            self._waiting.append((frame, now))
            self._changed.notify()

    def end(self, error: str) -> None:
        with self._changed:
            self.error = error
            self._changed.notify()

    def take(self) -> tuple[Any, float] | None:
        """Wait for the oldest buffered frame and its arrival time; None when reading has ended."""
        with self._changed:
            while not self._waiting and not self.error:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None


class FrameSampler:
    """Chooses the frames that are searched.

    Args:
        detect_every: every n-th frame; ``auto`` chooses by arrival time, since the nominal rate of cameras is unreliable.
        rate: frames per second for ``auto``.
    """

    def __init__(self, detect_every: int | Literal["auto"], rate: float) -> None:
        self._every, self._interval_s, self._due, self._index = detect_every, 1 / rate, 0.0, -1

    def accepts(self, now: float) -> bool:
        """Return whether to search the frame that arrived at ``now`` (seconds). Short bursts are accepted."""
        self._index += 1
        if self._every != "auto":
            return self._index % self._every == 0
        if now < self._due:
            return False
        self._due = max(self._due, now - MAX_BURST * self._interval_s) + self._interval_s
        return True


def decode(
    buffer: FrameBuffer,
    url: str,
    transport: str,
    detect_every: int | Literal["auto"],
    poll_s: float | str = POLL_S,
    deinterlace: str = "auto",
) -> None:
    """Read a camera into ``buffer`` until the stream ends or fails.

    Args:
        buffer: gets the frames, the counters and the reason of the end.
        url: address of the camera, or a video file, which is played at its own rate.
        transport: ``tcp`` or ``udp``, for RTSP.
        detect_every: every n-th frame, or ``auto``.
        poll_s: interval between requests in seconds, for an address that gives single images.
        deinterlace: ``auto``, ``on`` or ``off``.
    """
    try:
        container, stream = open_video(url, transport, timeout_s=None)  # the parent's stall detector sets the limit
        disable_frame_threads(stream)  # frame threads delay each frame by as many frames as there are threads
        buffer.shape = pixel_aspect_ratio(stream)
        sampler = FrameSampler(detect_every, target_detection_rate(stream))
        packets, damage, deinterlacer = FrameDecoder(container, stream), DamageDetector(), Deinterlacer(mode_of(deinterlace))
        frames: Iterable[Any] = packets
        if is_snapshot(url, container):
            container.close()  # some cameras accept one connection at a time
            frames = snapshots(url, float(poll_s))
        is_file, started = Path(url).is_file(), time.monotonic()

        def with_damage() -> Iterator[tuple[Any, bool]]:
            if is_file:
                for frame, pts_s in Clock(container, stream, low_latency=True).timestamped(packets):
                    time.sleep(max(0.0, started + pts_s - time.monotonic()))
                    yield frame, damage(frame, pts_s)
            else:
                for frame in frames:
                    yield frame, damage(frame, time.monotonic())

        for frame, damaged in deinterlacer(with_damage()):
            buffer.decoded += 1
            buffer.corrupt = damage.counts["corrupt_frames"]
            buffer.is_too_large = packets.oversized
            if sampler.accepts(time.monotonic()):
                buffer.put((frame, damaged))
        large = f" ({packets.oversized} frames are above the limit)" if packets.oversized else ""
        buffer.end(f"the stream ended{large}")
    except Exception as error:  # a decoder may raise anything; the parent gets the reason and starts another process
        buffer.end(str(error) if isinstance(error, SourceError) else error_text(error))


def serve(buffer: FrameBuffer, requests: threading.Semaphore, out: BinaryIO) -> None:
    """Send the oldest buffered frame for each request."""
    while True:
        requests.acquire()
        taken = buffer.take()
        if taken is None:
            out.write(json.dumps({"error": buffer.error}).encode() + b"\n")
            out.flush()
            return
        (frame, damaged), at = taken
        pixels = to_pixels(frame, shape=buffer.shape)
        head = {"shape": pixels.shape, "at": at, "damaged": bool(damaged)} | buffer.counts()
        out.write(json.dumps(head).encode() + b"\n")
        out.write(pixels.tobytes())
        out.flush()


def main() -> None:
    # Libraries may write to stdout, so the frames get a file descriptor of their own.
    out: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    buffer, requests = FrameBuffer(), threading.Semaphore(0)
    threading.Thread(target=decode, args=(buffer,), kwargs=json.loads(sys.stdin.readline()), daemon=True).start()
    threading.Thread(target=serve, args=(buffer, requests, out), daemon=True).start()
    for _ in sys.stdin:
        requests.release()
    os._exit(0)  # threads may hang in a decoder


if __name__ == "__main__":
    main()
